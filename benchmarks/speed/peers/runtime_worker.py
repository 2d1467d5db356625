"""Times one runtime of a trained model for `runtimes`.

python runtime_worker.py RUNTIME FILE
"""

import os
import sys
import time

from keras_worker import serve

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def load(path):
    from keras.saving import load_model

    import petseg  # noqa: F401 -- registers the layers in the file

    return load_model(path)


def model_predict(path):
    model = load(path)
    return lambda images: model.predict(images, verbose=0)


def compiled_call(path):
    import tensorflow as tf

    model = load(path)
    call = tf.function(
        lambda images: model(images, training=False),
        input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32)],
    )
    return lambda images: call(images).numpy()


def petseg_predict(path):
    import petseg

    model = load(path)
    return lambda images: petseg.predict(model, images, image_size=images.shape[1:3])


def artifact(path):
    from petseg_runtime import Runtime

    return Runtime(path)


def bare_onnx(path):
    """An ONNX file of another package, channels first."""
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return lambda images: session.run(
        None, {given.name: np.ascontiguousarray(np.moveaxis(images, -1, 1))}
    )


RUNTIMES = {
    "model.predict": model_predict,
    "compiled call": compiled_call,
    "petseg.predict": petseg_predict,
    "artifact": artifact,
    "bare onnx": bare_onnx,
}


class Worker:
    """A model that is loaded in a runtime."""

    def __init__(self, runtime, path):
        self.call = RUNTIMES[runtime](path)

    def describe(self):
        return {"versions": {}}

    def run(self, size, batch, steps, **_task):
        import numpy as np

        images = np.random.default_rng(0).uniform(0, 255, (batch, size, size, 3))
        images = images.astype("float32")
        start = time.perf_counter()
        for _ in range(steps):
            self.call(images)
        return time.perf_counter() - start


if __name__ == "__main__":
    serve(Worker, *sys.argv[1:])
