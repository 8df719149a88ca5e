"""The part of the TensorFlow engine that controls the order of computations and what is kept for backpropagation.

TensorFlow obeys control dependencies; XLA, which compiles the step on a GPU, drops them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops.gen_xla_ops import xla_optimization_barrier
from tensorflow.python.ops import control_flow_util


def recomputed(fn: Callable[..., Any], *inputs: Any) -> Any:
    """`fn(*inputs)`, of which only the inputs and the output are kept for backpropagation.

    What is needed of `fn`'s own intermediate results is computed again there, and what is not needed is not
    (TensorFlow prunes it): a last convolution, whose gradients need its inputs alone, is not run twice.

    Args:
        fn: a function of tensors to one tensor; reads no variables and draws no random numbers.
    """

    @tf.custom_gradient
    def call(*inputs: Any) -> Any:
        def gradient(cotangent: Any) -> Any:
            again = _tied(list(inputs), cotangent) if _compiled_by_xla() else after(list(inputs), [cotangent])
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(again)
                output = fn(*again)
            return tape.gradient(output, again, cotangent)

        return fn(*inputs), gradient

    return call(*inputs)


def after(values: Any, done: Any) -> Any:
    """The values, to be used only once everything in `done` is computed.

    TensorFlow runs independent parts of a step side by side, and holds the memory of all of them. XLA drops control
    dependencies; its barrier lasts until a GPU's program is in order (a CPU's loses it before).
    """
    others = tf.nest.flatten(done)
    if _compiled_by_xla():
        return _behind_barrier(values, others) if others and tf.nest.flatten(values) else values
    with tf.control_dependencies(others):
        return tf.nest.map_structure(tf.identity, values)


def _compiled_by_xla() -> bool:
    """Whether the function that is being traced, or one around it, is compiled by XLA."""
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def _behind_barrier(values: Any, others: Sequence[Any]) -> Any:
    """The values behind one of XLA's barriers, which the others are behind as well."""

    @tf.custom_gradient
    def pass_on(*values: Any) -> Any:
        kept = xla_optimization_barrier([*values, *others])[: len(values)]
        return tuple(kept), lambda *cotangents: cotangents

    return tf.nest.pack_sequence_as(values, pass_on(*tf.nest.flatten(values)))


def _tied(values: Sequence[Any], other: Any) -> list[Any]:
    """The values, as the results of operations that read the other tensor too, as far as XLA can see.

    Else it finds that the same is computed twice and keeps the first result. A barrier would not do on a CPU, where it
    is gone before the last search for such pairs. XLA cannot tell that a sign bit is never 2: it looks at no ranges.
    """
    first = tf.bitcast(tf.cast(tf.reshape(other, [-1])[0], tf.float32), tf.uint32)
    never = tf.bitwise.right_shift(first, tf.constant(31, tf.uint32)) > 1
    return [tf.where(never, tf.zeros_like(value), value) for value in values]
