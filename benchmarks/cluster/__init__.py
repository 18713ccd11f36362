"""`cluster`: what one page over engines on two nodes of a Ray cluster loses when a node is lost.

The nodes are namespaces of this machine, each with its own cores, joined by a switch; nothing of
them is left afterwards. The texts are asked for by the page's own engine, as the page would.
"""

from benchmarks.cluster.run import cluster

__all__ = ["cluster"]
