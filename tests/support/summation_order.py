"""Where the order of a sum in a TensorFlow function would depend on timing.

`AddN` adds up first the term whose memory it may reuse: one that nothing else waits for at that moment. A term of three or
more that has another reader is a race, and floating-point sums in another order differ in their last bits. Readers arise
where TensorFlow's optimiser finds two equal computations and keeps one, so that the function is looked at as it runs.
"""

from collections import Counter

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.grappler import tf_optimizer


def races(function, *arguments):
    """The terms of sums of three or more that something else reads as well, and the number of such sums."""
    graph = function.get_concrete_function(*arguments).graph
    meta = tf.compat.v1.train.export_meta_graph(graph_def=graph.as_graph_def(), graph=graph)
    kept = [*(output.name for output in graph.outputs), *(operation.name for operation in graph.control_outputs)]
    meta.collection_def["train_op"].node_list.value.extend(kept)
    config = config_pb2.ConfigProto()
    config.graph_options.rewrite_options.min_graph_nodes = -1
    nodes = tf_optimizer.OptimizeGraph(config, meta).node
    readers = Counter(name for node in nodes for name in _terms(node))
    sums = [node for node in nodes if node.op in ("AddN", "_MklAddN") and len(_terms(node)) > 2]
    return [name for node in sums for name in _terms(node) if readers[name] > 1], len(sums)


def _terms(node):
    names = [name for name in node.input if not name.startswith("^")]
    return [name if ":" in name else f"{name}:0" for name in names]
