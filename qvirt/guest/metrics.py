"""The guest's counters as Prometheus reads them, gathered when somebody asks."""

from __future__ import annotations

import os
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from qvirt.guest.jobs import Jobs
from qvirt.guest.memory import private
from qvirt.guest.orders import Machine
from qvirt.guest.workers import Pool
from qvirt.model.job import JobState


class GuestCollector(Collector):
    def __init__(self, jobs: Jobs, pool: Pool, machine: Machine) -> None:
        self._jobs = jobs
        self._pool = pool
        self._machine = machine

    def collect(self) -> Iterator[Metric]:
        ended = CounterMetricFamily("qvirt_guest_jobs", "Orders that have ended.", labels=["state"])
        for state in JobState:
            if state.ended:
                ended.add_metric([state.value], self._jobs.ended[state])
        yield ended
        yield CounterMetricFamily(
            "qvirt_guest_busy_seconds", "Seconds spent on orders.", value=self._jobs.busy_seconds
        )
        yield GaugeMetricFamily("qvirt_guest_jobs_queued", "Orders waiting.", value=self._jobs.queued)
        yield GaugeMetricFamily("qvirt_guest_jobs_running", "Orders at work.", value=self._jobs.running)
        yield CounterMetricFamily(
            "qvirt_guest_workers_started", "Worker processes started.", value=self._pool.started
        )
        yield CounterMetricFamily(
            "qvirt_guest_workers_ended", "Worker processes that were killed or died.", value=self._pool.ended
        )
        pids = self._pool.pids()
        yield GaugeMetricFamily("qvirt_guest_workers", "Worker processes alive.", value=len(pids))
        yield GaugeMetricFamily(
            "qvirt_guest_memory_bytes",
            "Private memory of the guest and its workers.",
            value=sum(map(private, (os.getpid(), *pids))),
        )
        yield GaugeMetricFamily(
            "qvirt_guest_memory_limit_bytes", "Memory of the VM.", value=self._machine.memory
        )
        yield GaugeMetricFamily("qvirt_guest_cpus", "CPUs of the VM.", value=self._machine.cpus)


def text(jobs: Jobs, pool: Pool, machine: Machine) -> bytes:
    registry = CollectorRegistry()
    registry.register(GuestCollector(jobs, pool, machine))
    return generate_latest(registry)
