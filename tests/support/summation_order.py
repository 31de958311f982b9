"""Sums in a TensorFlow function whose order depends on timing.

`AddN` adds up first the term whose memory it may reuse: one that nothing else waits for at that moment. So with three terms or
more, the last bits of the sum depend on which thread was faster. TensorFlow's optimiser may merge chains of additions
into such a sum, so that the function is looked at as it runs.
"""

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2
from tensorflow.python.grappler import tf_optimizer


def sums_of_three(function, *arguments):
    """The names of the operations that add three terms or more at once."""
    graph = function.get_concrete_function(*arguments).graph
    meta = tf.compat.v1.train.export_meta_graph(graph_def=graph.as_graph_def(), graph=graph)
    kept = [*(output.name for output in graph.outputs), *(operation.name for operation in graph.control_outputs)]
    meta.collection_def["train_op"].node_list.value.extend(kept)
    config = config_pb2.ConfigProto()
    config.graph_options.rewrite_options.min_graph_nodes = -1
    if not tf.config.optimizer.get_experimental_options().get("arithmetic_optimization", True):
        config.graph_options.rewrite_options.arithmetic_optimization = rewriter_config_pb2.RewriterConfig.OFF
    nodes = tf_optimizer.OptimizeGraph(config, meta).node
    return [node.name for node in nodes if node.op in ("AddN", "_MklAddN") and node.attr["N"].i > 2]
