"""The evaluator that serves any problem: nodes over the inputs."""
