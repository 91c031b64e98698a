"""Images that look like photographs enough to be told apart, sharp and not."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from fgdet.data_engine.image_record import ImageRecord


def scene(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Overlapping rectangles of random colours with fine noise, (width, height) as ``size``."""
    rng = np.random.default_rng(seed)
    width, height = size
    pixels = np.full((height, width, 3), rng.integers(0, 256, 3), dtype=np.float32)
    for _ in range(12):
        x, y = rng.integers(0, width), rng.integers(0, height)
        pixels[y : y + rng.integers(15, height), x : x + rng.integers(15, width)] = rng.integers(0, 256, 3)
    return Image.fromarray((pixels + rng.normal(0, 6, pixels.shape)).clip(0, 255).astype(np.uint8))


def blurred(image: Image.Image, sigma: float) -> Image.Image:
    return Image.fromarray(cv2.GaussianBlur(np.asarray(image), (0, 0), sigma))


def save(folder: Path, name: str, image: Image.Image, **options: Any) -> ImageRecord:
    """A file and its record, keyed by the name without its ending."""
    folder.mkdir(parents=True, exist_ok=True)
    image.save(folder / name, **options)
    return ImageRecord(name.rpartition('.')[0], name, *image.size)
