"""The agent of a Kubernetes node: its pods' annotations say which bypass a pod takes part in.

What is wanted comes from the API server, what is there from pins and cgroups, and one step makes
them equal. Nothing is remembered between two starts, so that an agent may be killed at any moment.
"""

from __future__ import annotations
