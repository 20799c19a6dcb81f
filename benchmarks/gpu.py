"""ResNet-18-GN on a GPU: examples a second of fucore and of the loop everyone writes, on images made up for the purpose.

python benchmarks/gpu.py                                  # on CUDA: 32 x 32 and the 224-pixel pipeline, batch 128
python benchmarks/gpu.py --device cpu --images 64 --batch 16 --sides 32     # to see that the command works
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import fucore as fu
from fucore.federation.models import build


class Pictures(Dataset):
    """Pixels to tensors one PIL image at a time, as torchvision's data sets do it."""

    def __init__(self, split, side):
        self.images, self.labels, self.side = split.images.permute(0, 2, 3, 1).numpy(), split.labels, side

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        image = Image.fromarray(self.images[index])
        if self.side != 32:
            image = image.resize((self.side, self.side), Image.BILINEAR)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255, self.labels[index]


def wait(device):
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def research_loop(data, side, batch, device) -> float:
    """Examples a second of one epoch, in fp32."""
    model = build("resnet18", (3, side, side), 10, 0).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    loader = DataLoader(Pictures(data.train, side), batch_size=batch, shuffle=True)
    for warm in (True, False):
        start = time.perf_counter()
        for step, (images, labels) in enumerate(loader):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images.to(device)), labels.to(device)).backward()
            optimizer.step()
            if warm and step == 2:
                break
        wait(device)
    return len(data.train) / (time.perf_counter() - start)


def ours(data, side, batch, device, precision) -> float:
    """Examples a second of the second round of one client's federation."""
    fed = fu.Federation(
        data,
        fu.partition.iid(data.train.labels, 1),
        "resnet18",
        fu.LocalTraining(epochs=1, batch=batch, optimizer="sgd", lr=0.01, momentum=0.9),
        fu.Preprocessing(resize=None if side == 32 else side),
        device=device,
        precision=precision,
        store=None,
    )
    return len(data.train) / fed.train(2).curve["seconds"].diff().iloc[-1]


def matmul_peak(device, size) -> float:
    """bf16 floating-point operations a second of a square matmul."""
    a = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    times = []
    for _ in range(10):
        wait(device)
        start = time.perf_counter()
        a @ a
        wait(device)
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 224])
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(np.arange(options.images) % 10)
    split = fu.Split(torch.from_numpy(rng.integers(0, 256, (options.images, 3, 32, 32), dtype=np.uint8)), labels)
    names = tuple(map(str, range(10)))
    data = fu.Dataset("noise", split, split.take(range(min(100, options.images))), names, (127.0,) * 3, (64.0,) * 3)
    peak = matmul_peak(options.device, 8192 if options.device == "cuda" else 1024)
    name = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}, bf16 matmul {peak / 1e12:.2f} TFLOP/s")
    for side in options.sides:
        flops = 6 * {32: 0.555e9, 224: 1.81e9}.get(side, 0.0)
        base = research_loop(data, side, options.batch, options.device)
        print(f"{side:4d} pixels: research loop {base:8.0f} examples/s")
        for precision in ("fp32", "bf16"):
            rate = ours(data, side, options.batch, options.device, precision)
            print(
                f"{side:4d} pixels: fucore {precision}  {rate:8.0f} examples/s, {rate / base:5.1f} x, {rate * flops / peak:.1%} of the peak"
            )


if __name__ == "__main__":
    main()
