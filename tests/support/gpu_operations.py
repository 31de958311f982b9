"""What a TensorFlow function computes, compared with what TensorFlow has for a GPU and refuses there; no GPU is needed."""

import tensorflow as tf
from tensorflow.python.framework import kernels

# Of TensorFlow 2.17, all kernels that answer Unimplemented on a GPU where determinism is required: the messages that
# `strings libtensorflow_cc.so.2 | grep -i determinis` finds, and the files under tensorflow/core/kernels that hold them.
REFUSED = {
    "AdjustContrast", "AdjustContrastv2",  # adjust_contrast_op.cc
    "ResizeNearestNeighborGrad",  # image/resize_nearest_neighbor_op.cc
    "CropAndResizeGradBoxes", "CropAndResizeGradImage",  # image/crop_and_resize_op.cc
    "SparseTensorDenseMatMul",  # sparse_tensor_dense_matmul_op_gpu.cu.cc
    "DebugNumericSummaryV2",  # debug_ops.h
    "Dilation2DBackpropFilter", "Dilation2DBackpropInput",  # dilation_ops.cc
    "MaxPoolGradWithArgmax",  # maxpooling_op.cc
    "Svd",  # linalg/svd_op_gpu.cu.cc
    "Bincount", "DenseBincount",  # bincount_op_gpu.cu.cc, bincount_op.cc
    "FakeQuantWithMinMaxVarsGradient", "FakeQuantWithMinMaxVarsPerChannelGradient",  # fake_quant_ops.cc
    "ScatterAdd", "ScatterSub", "ScatterMul", "ScatterDiv", "ScatterMin", "ScatterMax", "ScatterUpdate",  # scatter_op.cc
    "SegmentSum", "SegmentMean", "SegmentProd", "SegmentMin", "SegmentMax",  # segment_reduction_ops_impl.h
    "UnsortedSegmentSum", "UnsortedSegmentProd", "UnsortedSegmentMin", "UnsortedSegmentMax",
    "SoftmaxCrossEntropyWithLogits", "SparseSoftmaxCrossEntropyWithLogits",  # xent_op.cc, sparse_xent_op.cc
    "Timestamp",  # logging_ops.cc
}  # fmt: skip
# fused_batch_norm_op.cu.cc; in training they are allowed. Depthwise convolutions need cuDNN 7.6.3, 2.17 itself a later one.
REFUSED_IF_FROZEN = {"FusedBatchNormGrad", "FusedBatchNormGradV2", "FusedBatchNormGradV3"}


def refused_in(function, *given):
    """Names of refused operations in the graph of a `tf.function` and in the functions that it calls, and of all of them."""
    nodes = _nodes(function, *given)
    found = [
        node.op
        for node in nodes
        if node.op in REFUSED or (node.op in REFUSED_IF_FROZEN and not node.attr["is_training"].b)
    ]
    return found, {node.op for node in nodes}


def without_kernel_in(function, *given):
    """Names of operations for which TensorFlow has no kernel on a GPU for the types that they get here.

    The package that has these kernels is the one that Linux on x86-64 gets, without CUDA too; others tell nothing.
    """
    if not tf.test.is_built_with_cuda():
        return []
    return sorted({node.op for node in _nodes(function, *given) if not _has_kernel(node)} - {"Placeholder"})


def _has_kernel(node):
    return any(
        all(node.attr[each.name].type in each.allowed_values.list.type for each in kernel.constraint)
        for kernel in kernels.get_registered_kernels_for_op(node.op).kernel
        if kernel.device_type in ("GPU", "DEFAULT")
    )


def _nodes(function, *given):
    """Of the graph and of the functions that it calls."""
    graph = function.get_concrete_function(*given).graph.as_graph_def()
    return [*graph.node, *(node for each in graph.library.function for node in each.node_def)]
