"""Batch normalization in one pass over the features, or in none, on TensorFlow."""

from typing import Any

import keras
from keras import layers, ops

# With Keras's 0.99, or the 0.999 of MobileNetV3, the moving statistics lag by hundreds of batches,
# epochs of a small dataset, and validation by as much.
BN_MOMENTUM = 0.9


@keras.saving.register_keras_serializable("petseg")
class FusedBatchNormalization(layers.BatchNormalization):
    """Keras's batch normalization over the last axis of `(N, H, W, C)`, by TensorFlow's own kernel.

    Arguments, weights and results are those of `keras.layers.BatchNormalization`, whose arithmetic
    takes several passes; on other backends than TensorFlow it is that layer. Where it normalizes by
    its moving statistics what a convolution without bias gives, as a frozen encoder does, it is one
    with the convolution: its scale goes into the kernel, its offset is a bias.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if keras.backend.backend() != "tensorflow":
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        inputs = ops.cast(inputs, self.compute_dtype)
        channels = inputs.shape[-1]
        gamma = self.gamma if self.scale else ops.ones((channels,), "float32")
        beta = self.beta if self.center else ops.zeros((channels,), "float32")
        if not (training and self.trainable):
            folded = self._in_convolution(inputs, gamma, beta)
            if folded is not None:
                return folded
            outputs, _, _ = tf.compat.v1.nn.fused_batch_norm(
                inputs,
                gamma,
                beta,
                self.moving_mean,
                self.moving_variance,
                epsilon=self.epsilon,
                is_training=False,
            )
            return outputs
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, gamma, beta, epsilon=self.epsilon, is_training=True
        )
        # The kernel gives the unbiased variance, Keras keeps the biased one.
        count = ops.cast(ops.size(inputs) // channels, "float32")
        variance = variance * (count - 1) / count
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1 - self.momentum))
        return outputs

    def _in_convolution(self, inputs: Any, gamma: Any, beta: Any) -> Any:
        """The outputs, when a graph is being traced in which a convolution gives the inputs.

        The convolution of the graph that this stands for is left without a use, and pruned.
        """
        import tensorflow as tf

        convolution = None if tf.executing_eagerly() else inputs.op
        if convolution is None or convolution.type not in ("Conv2D", "DepthwiseConv2dNative"):
            return None
        images, kernel = convolution.inputs
        names = ("strides", "padding", "explicit_paddings", "data_format", "dilations")
        attributes = {name: convolution.get_attr(name) for name in names}
        scale = gamma * tf.math.rsqrt(self.moving_variance + self.epsilon)
        # Channels are the last axis of a kernel, or of a depthwise one the last two.
        if convolution.type == "Conv2D":
            operation, channels = tf.raw_ops.Conv2D, kernel.shape[3:]
        else:
            operation, channels = tf.raw_ops.DepthwiseConv2dNative, kernel.shape[2:]
        kernel = kernel * tf.cast(tf.reshape(scale, channels), kernel.dtype)
        offset = tf.cast(beta - self.moving_mean * scale, inputs.dtype)
        return tf.nn.bias_add(operation(input=images, filter=kernel, **attributes), offset)
