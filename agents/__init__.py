"""What plays, and how it is kept on disk."""

from agents.agent import Agent, load_agent

__all__ = ["Agent", "load_agent"]
