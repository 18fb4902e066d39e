"""What the pictures share."""

INK, LIMIT = "#222222", "#c1272d"
TIME_LABEL = "time t  (one SGD step takes γ/(p d))"
