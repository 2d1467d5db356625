"""Times a model of segmentation_models_pytorch for `peers_speed`.

python torch_worker.py Unet [--compile]
"""

import sys
import time

from keras_worker import serve


class Worker:
    """A model that is set up for the task it was last asked for."""

    def __init__(self, architecture, compiled):
        start = time.perf_counter()
        import segmentation_models_pytorch as smp
        import torch

        self.import_seconds = time.perf_counter() - start
        torch.manual_seed(0)
        self.torch = torch
        model = getattr(smp, architecture)("mobilenet_v2", encoder_weights=None, classes=3)
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        self.bare = model.to(memory_format=torch.channels_last)
        self.model = torch.compile(self.bare) if compiled else self.bare
        self.state = None
        self.versions = {"torch": torch.__version__, "smp": smp.__version__}

    def describe(self):
        return {
            "parameters": self.parameters,
            "import_seconds": self.import_seconds,
            "versions": self.versions,
        }

    def prepare(self, task):
        if task == self.state:
            return
        self.bare.train(task != "predict")
        for parameter in self.bare.encoder.parameters():
            parameter.requires_grad = task == "full"
        if task == "frozen":
            self.bare.encoder.eval()
        trainable = [p for p in self.bare.parameters() if p.requires_grad]
        self.optimizer = self.torch.optim.Adam(trainable)
        self.state = task

    def run(self, task, size, batch, steps):
        torch = self.torch
        self.prepare(task)
        generator = torch.Generator().manual_seed(0)
        images = torch.rand(batch, 3, size, size, generator=generator)
        images = images.to(memory_format=torch.channels_last)
        masks = torch.randint(0, 3, (batch, size, size), generator=generator)
        loss_of = torch.nn.CrossEntropyLoss()
        start = time.perf_counter()
        for _ in range(steps):
            if task == "predict":
                with torch.inference_mode():
                    self.model(images)
                continue
            self.optimizer.zero_grad()
            loss = loss_of(self.model(images), masks)
            loss.backward()
            self.optimizer.step()
        return time.perf_counter() - start


if __name__ == "__main__":
    serve(Worker, sys.argv[1], "--compile" in sys.argv)
