"""Ranks as threads of one process, and the runs that the tests split over them."""

import threading
import time

import numpy as np

import meanfield as mf


class Team:
    """Ranks that meet at a barrier."""

    def __init__(self, size):
        self.size, self.barrier = size, threading.Barrier(size)
        self.board = [None] * size

    def run(self, function):
        """What function(comm) returns on each rank."""
        results, errors, ended = [None] * self.size, [], []

        def work(rank):
            try:
                results[rank] = function(Member(self, rank))
            except BaseException as error:
                errors.append(error)
            ended.append(rank)
            if errors:
                # who is on the way out of the barrier goes on to its next meeting, or its end
                while len(ended) + self.barrier.n_waiting < self.size:
                    time.sleep(0.001)
                self.barrier.abort()

        workers = [threading.Thread(target=work, args=(rank,)) for rank in range(self.size)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if errors:
            raise next(e for e in errors if not isinstance(e, threading.BrokenBarrierError))
        return results


class Member:
    def __init__(self, team, rank):
        self.team, self.rank, self.size = team, rank, team.size

    def allgather(self, sendobj):
        self.team.board[self.rank] = sendobj
        self.team.barrier.wait()
        everyones = list(self.team.board)
        self.team.barrier.wait()
        return everyones

    def Allreduce(self, sendbuf, recvbuf):
        recvbuf[...] = np.sum(self.allgather(np.array(sendbuf)), axis=0)


def square_of_u(t, part):
    return (part.u**2).sum(axis=1).mean()


def moment(t, part):
    return part.u.T @ part.u / part.n


CASES = {
    "erf": (1, "erf", 100, {}),
    "two directions": (2, "erf", 50, {}),
    "large width": (1, "erf", np.inf, {"second_layer_rate": 1.0}),
    "relu": (1, "relu", 30, {}),
    "half-sphere": (2, "relu", np.inf, {"second_layer_rate": 0.5}),
    "square": (2, "square", 30, {"second_layer_rate": 0.5}),
}


def problem_of(case):
    k, activation, dim, rates = CASES[case]
    return mf.Problem(mf.CommitteeTarget(k=k, activation=activation), activation, dim, **rates)


def solve(case, comm, n=1500, t_end=4.0, **options):
    problem = problem_of(case)
    part = mf.parallel.draw(mf.gaussian_measure, problem, n, seed=3, comm=comm)
    settings = {"averages": {"square": square_of_u, "moment": moment}, "threads": 1} | options
    return mf.parallel.solve_mean_field(problem, part, t_end, 3, comm=comm, **settings)
