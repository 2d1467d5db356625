"""Times a Keras model for `peers_speed`: answers each line of JSON with one.

    python keras_worker.py petseg:unet

Runs as a script in the environment of its library, so it imports nothing of the repository.
"""

import importlib
import json
import os
import resource
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

TAPS = ("block_13_expand_relu", "block_6_expand_relu", "block_3_expand_relu", "block_1_expand_relu")


def textbook(architecture):
    """Builds a model as tutorials do on Keras's MobileNetV2; returns it and its encoder."""
    import keras
    from keras import layers

    images = keras.Input((None, None, 3))
    backbone = keras.applications.MobileNetV2(
        include_top=False, weights=None, input_tensor=layers.Rescaling(1 / 127.5, -1)(images)
    )
    skips = [backbone.get_layer(tap).output for tap in TAPS] + [images]  # strides 16 to 1
    x = backbone.get_layer("block_16_project").output
    encoder = [layer for layer in backbone.layers if layer.name != "input_layer"]
    return keras.Model(images, DECODERS[architecture](x, skips)), encoder


def unet(x, skips):
    """Upsamples, concatenates the skip and applies two 3x3 convolutions, up to stride 1."""
    from keras import layers

    for skip, filters in zip(skips, (256, 128, 64, 48, 32), strict=True):
        x = layers.UpSampling2D(interpolation="bilinear")(x)
        x = layers.Concatenate()([x, skip])
        for _ in range(2):
            x = conv_bn_relu(x, filters)
    return layers.Conv2D(3, 1)(x)


def segnet(x, _):
    """Upsamples and applies one 3x3 convolution, up to stride 2."""
    from keras import layers

    for filters in (512, 256, 128, 64):
        x = conv_bn_relu(layers.UpSampling2D()(x), filters)
    return layers.UpSampling2D(interpolation="bilinear")(layers.Conv2D(3, 1)(x))


def fcn8(x, skips):
    """Class scores at three strides, upsampled by transposed convolutions and added."""
    from keras import layers

    x = layers.Conv2D(3, 1)(x)
    for skip in skips[:2]:
        x = layers.Conv2DTranspose(3, 4, strides=2, padding="same")(x)
        x = layers.Add()([x, layers.Conv2D(3, 1)(skip)])
    return layers.Conv2DTranspose(3, 16, strides=8, padding="same")(x)


def conv_bn_relu(x, filters):
    from keras import layers

    x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization()(x))


DECODERS = {"unet": unet, "segnet": segnet, "fcn8": fcn8}


def build(name):
    """Builds the compiled model; returns it and the layers to freeze."""
    maker, _, model_name = name.partition(":")
    if maker == "petseg":
        import petseg

        model = petseg.MODELS[model_name](backbone="mobilenetv2", weights=None)
        return model, [model.get_layer("encoder")]
    if maker == "textbook":
        model, encoder = textbook(model_name)
    elif maker == "keras_hub":
        import keras_hub

        # The lightest encoder that it supports; its only preset has ResNet-50.
        resnet18 = keras_hub.models.ResNetBackbone(
            input_conv_filters=[64],
            input_conv_kernel_sizes=[7],
            stackwise_num_filters=[64, 128, 256, 512],
            stackwise_num_blocks=[2, 2, 2, 2],
            stackwise_num_strides=[1, 2, 2, 2],
            block_type="basic_block",
        )
        backbone = keras_hub.models.DeepLabV3Backbone(
            image_encoder=resnet18,
            spatial_pyramid_pooling_key="P5",
            upsampling_size=8,
            dilation_rates=[6, 12, 18],
        )
        model = keras_hub.models.DeepLabV3ImageSegmenter(backbone=backbone, num_classes=3)
        encoder = [resnet18]
    compile_plainly(model)
    return model, encoder


def compile_plainly(model):
    """Compiles with Adam, cross-entropy and accuracy, as tutorials do."""
    import keras

    model.compile(
        optimizer=keras.optimizers.Adam(),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
        jit_compile=False,
    )


def compile_again(model):
    """Compiles with what petseg compiled it with."""
    model.compile_from_config(model.get_compile_config())


class Worker:
    """A model that is compiled for the task it was last asked for."""

    def __init__(self, name):
        start = time.perf_counter()
        library = name.partition(":")[0].replace("textbook", "keras")
        importlib.import_module(library)
        self.import_seconds = time.perf_counter() - start
        import keras

        keras.utils.set_random_seed(0)
        self.model, self.encoder = build(name)
        self.compile = compile_again if library == "petseg" else compile_plainly
        self.state = None

    def describe(self):
        import keras
        import tensorflow as tf

        versions = {"keras": keras.__version__, "tensorflow": tf.__version__}
        return {
            "parameters": self.model.count_params(),
            "import_seconds": self.import_seconds,
            "versions": versions,
        }

    def prepare(self, task, size):
        if (task, size) == self.state:
            return
        if task != "predict":
            for layer in self.encoder:
                layer.trainable = task == "full"
        self.compile(self.model)  # one graph for each size, since keras-hub's takes only one
        self.state = (task, size)

    def batches(self, size, batch, steps):
        import numpy as np
        import tensorflow as tf

        rng = np.random.default_rng(0)
        images = tf.constant(rng.uniform(0, 255, (batch, size, size, 3)), tf.float32)
        masks = tf.constant(rng.integers(0, 3, (batch, size, size, 1)), tf.int32)
        options = tf.data.Options()
        options.autotune.enabled = False  # its thread ends late, by up to as long as it has run
        return tf.data.Dataset.from_tensors((images, masks)).repeat(steps).with_options(options)

    def run(self, task, size, batch, steps):
        self.prepare(task, size)
        data = self.batches(size, batch, steps)
        start = time.perf_counter()
        if task == "predict":
            self.model.predict(data, verbose=0)
        else:
            self.model.fit(data, verbose=0, shuffle=False)
        return time.perf_counter() - start


def serve(make, *arguments):
    """Makes the worker, prints its description, then runs each request on stdin."""
    worker = make(*arguments)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the libraries print must not mix with the answers
    print(json.dumps(worker.describe()), file=out, flush=True)
    for line in sys.stdin:
        seconds = worker.run(**json.loads(line))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "peak_mib": round(peak)}), file=out, flush=True)


if __name__ == "__main__":
    serve(Worker, sys.argv[1])
