"""Batch normalization that is fast on TensorFlow: one kernel, or part of the convolution."""

from typing import Any

import keras
from keras import layers, ops

# With 0.99 (the default of Keras) or 0.999 (MobileNetV3) the moving statistics lag by hundreds of
# batches, which are epochs of a small dataset, and validation scores lag with them.
BN_MOMENTUM = 0.9


@keras.saving.register_keras_serializable("petseg")
class FusedBatchNormalization(layers.BatchNormalization):
    """Batch normalization over the last axis of `(N, H, W, C)` by TensorFlow's fused kernel.

    Weights and results are those of `keras.layers.BatchNormalization`, which makes several passes
    over the features. In a compiled function, a layer that uses its moving statistics directly
    after a convolution becomes part of that convolution: its scale multiplies the kernel, and its
    offset becomes a bias. On other backends than TensorFlow, and to synchronize the statistics of
    several devices, this is the layer of Keras.

    Args:
        **kwargs: Arguments of `keras.layers.BatchNormalization`.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        is_synchronized = self.synchronized and training and self.trainable
        if is_synchronized or keras.backend.backend() != "tensorflow":
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
        # The kernel returns the unbiased variance; Keras averages the biased one.
        count = ops.cast(ops.size(inputs) // channels, "float32")
        variance = variance * (count - 1) / count
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1 - self.momentum))
        return outputs

    def _in_convolution(self, inputs: Any, gamma: Any, beta: Any) -> Any:
        """Returns the outputs if the inputs come from a convolution in a graph, else None.

        The original convolution has no consumer then, and TensorFlow prunes it.
        """
        import tensorflow as tf

        convolution = None if tf.executing_eagerly() else inputs.op
        if convolution is None or convolution.type not in ("Conv2D", "DepthwiseConv2dNative"):
            return None
        images, kernel = convolution.inputs
        names = ("strides", "padding", "explicit_paddings", "data_format", "dilations")
        attributes = {name: convolution.get_attr(name) for name in names}
        scale = gamma * tf.math.rsqrt(self.moving_variance + self.epsilon)
        # Output channels are the last axis of a kernel, the last two of a depthwise kernel.
        if convolution.type == "Conv2D":
            operation, channels = tf.raw_ops.Conv2D, kernel.shape[3:]
        else:
            operation, channels = tf.raw_ops.DepthwiseConv2dNative, kernel.shape[2:]
        kernel = kernel * tf.cast(tf.reshape(scale, channels), kernel.dtype)
        offset = tf.cast(beta - self.moving_mean * scale, inputs.dtype)
        return tf.nn.bias_add(operation(input=images, filter=kernel, **attributes), offset)
