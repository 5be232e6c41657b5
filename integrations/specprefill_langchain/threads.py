"""Threads for the work of asynchronous calls, so that neither the event loop nor its threads wait for a model."""

from __future__ import annotations

from langchain_core.runnables.config import ContextThreadPoolExecutor

from specprefill_agents.storage.forking import RestartingPool


class ContextPool(RestartingPool, ContextThreadPoolExecutor):
    """One thread, unless more are asked for, that works in the context of whoever calls, and that a forked child has too."""
