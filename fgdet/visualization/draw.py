"""Pictures of detections and of similarity maps.

Images are (H, W, 3) uint8 RGB. An image whose longer side is under 320 pixels is enlarged by a whole factor first, so
that text on it can be read; what comes back is then larger than what was given.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw

from fgdet.structures.cropped_masks import CroppedMasks
from fgdet.structures.detections import Detections
from fgdet.visualization.labels import Rectangle, fit_text, load_font, place_labels
from fgdet.visualization.palette import Color, name_colors, text_color

MIN_SIDE = 320
MASK_OPACITY = 0.4
#: Even steps for the eye, brightest where the similarity is highest.
COLORMAP = 'inferno'


def draw_detections(
    image: np.ndarray,
    detections: Detections,
    show_scores: bool = True,
    color_names: Sequence[str] = (),
    font_path: str | None = None,
) -> np.ndarray:
    """Draw boxes, and masks where there are some, with their names and scores.

    Large boxes lie below small ones, labels of low scores below those of high ones. Nothing is left out: filter before.

    Args:
        image: (H, W, 3) uint8 RGB; it is not changed.
        detections: boxes in pixels of ``image``; parts outside it are cut off.
        show_scores: whether the score follows the name.
        color_names: all names that may come, such as a vocabulary's: gives each the same colour in every picture. When
            empty, colours are kept apart among this picture's names alone, see
            :func:`~fgdet.visualization.palette.name_colors`.
        font_path: a TrueType file, for names in scripts that DejaVu Sans lacks.

    Returns:
        (f * H, f * W, 3) uint8 RGB with f = 1, or larger for an image under 320 pixels.

    Raises:
        ValueError: ``image`` has another shape or type, or masks have another size.
    """
    canvas, factor = _canvas(image)
    colors = name_colors([*detections.names, *color_names])
    if detections.masks is not None:
        canvas = _paint_masks(canvas, detections, colors, image.shape[:2])
    rectangles = [_visible(box * factor, canvas.size) for box in detections.boxes]
    text_size = _fitting_text_size(canvas, rectangles)
    line_width = max(2, round(text_size / 7))
    draw = ImageDraw.Draw(canvas, 'RGBA')
    for index in sorted(range(len(rectangles)), key=lambda i: -_area(rectangles[i])):
        _draw_box(draw, rectangles[index], colors[detections.names[index]], line_width)

    font = load_font(text_size, font_path)
    padding = max(2, text_size // 4)
    height = sum(font.getmetrics()) + 2 * (padding // 2)
    by_score = np.argsort(-detections.scores, kind='stable').tolist()
    texts = [_label(detections, index, show_scores) for index in by_score]
    texts = [fit_text(text, font, canvas.width - 2 * padding) for text in texts]
    sizes = [(round(font.getlength(text)) + 2 * padding, height) for text in texts]
    places = place_labels([rectangles[index] for index in by_score], sizes, canvas.size)
    for index, text, place in reversed(list(zip(by_score, texts, places, strict=True))):
        if place is None:
            continue
        left, top, right, bottom = place
        color = colors[detections.names[index]]
        draw.rectangle((left, top, right - 1, bottom - 1), fill=color, outline=(0, 0, 0, 90))
        draw.text((left + padding, top + padding // 2), text, font=font, fill=text_color(color))
    return np.asarray(canvas)


def draw_heatmap(
    image: np.ndarray,
    similarity: np.ndarray,
    title: str = '',
    value_range: tuple[float, float] | None = None,
    opacity: float = 0.55,
    font_path: str | None = None,
) -> np.ndarray:
    """Lay a similarity map over the greyed image, with a colour bar at the right and a title above.

    Args:
        image: (H, W, 3) uint8 RGB.
        similarity: (h, w) float, for example cosines of dense features and a text; enlarged bilinearly. NaN shows the
            image alone.
        title: one line of text, such as the words that were looked for; cut where it is too long.
        value_range: the values of the lowest and the highest colour; None takes those of the map.
        opacity: 0 shows the image alone, 1 the map alone.
        font_path: a TrueType file, for titles in scripts that DejaVu Sans lacks.

    Returns:
        uint8 RGB, wider than the image by the colour bar and higher by the title.

    Raises:
        ValueError: a shape, type, range or opacity that does not fit.
    """
    canvas, _ = _canvas(image)
    values = np.asarray(similarity, dtype=np.float32)
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f'similarity: expected shape (h, w), not empty, got {values.shape}')
    if not 0 <= opacity <= 1:
        raise ValueError(f'opacity: expected 0..1, got {opacity}')
    finite = values[np.isfinite(values)]
    if value_range is None:
        value_range = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    low, high = value_range
    if low > high:
        raise ValueError(f'value_range: expected low <= high, got {value_range}')

    known = np.isfinite(values)
    enlarged = _enlarge(np.where(known, values, low), canvas.size)  # (H, W)
    shown = opacity * _enlarge(known.astype(np.float32), canvas.size)[..., None]  # (H, W, 1)
    unit = np.clip((enlarged - low) / max(high - low, 1e-12), 0, 1)  # (H, W) in 0..1
    colored = 255 * colormaps[COLORMAP](unit)[..., :3]  # (H, W, 3)
    grey = np.asarray(canvas.convert('L').convert('RGB'), dtype=np.float32)
    overlay = Image.fromarray((grey * (1 - shown) + colored * shown).round().astype(np.uint8))
    return _with_color_bar(overlay, (low, high), title, font_path)


def _canvas(image: np.ndarray) -> tuple[Image.Image, int]:
    """Return a copy of the image to draw on, and the whole factor by which it was enlarged."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(f'image: expected (H, W, 3) uint8 RGB, got {image.shape} {image.dtype}')
    canvas = Image.fromarray(image)
    factor = -(-MIN_SIDE // max(canvas.size))
    if factor > 1:
        canvas = canvas.resize((canvas.width * factor, canvas.height * factor), Image.Resampling.BICUBIC)
    return canvas, factor


def _text_size(canvas: Image.Image) -> int:
    """Return the height of text in pixels: 14 on a 640 x 480 image, growing with it, 12 at least."""
    return max(12, round(0.026 * (canvas.width * canvas.height) ** 0.5))


def _fitting_text_size(canvas: Image.Image, rectangles: list[Rectangle]) -> int:
    """Return the height of labels: that of the picture's text, smaller where most boxes are small, 14 at least then."""
    sides = [min(right - left, bottom - top) for left, top, right, bottom in rectangles]
    limit = max(14, round(0.3 * float(np.median(sides)))) if sides else 14
    return min(_text_size(canvas), limit)


def _label(detections: Detections, index: int, show_scores: bool) -> str:
    name = detections.names[index]
    return f'{name} {detections.scores[index]:.2f}' if show_scores else name


def _visible(box: np.ndarray, image_wh: tuple[int, int]) -> Rectangle:
    """Return the box cut to the image, in whole pixels and at least one pixel large."""
    width, height = image_wh
    x1, y1, x2, y2 = np.nan_to_num(box).round()
    left, top = int(np.clip(x1, 0, width - 1)), int(np.clip(y1, 0, height - 1))
    return left, top, int(np.clip(x2, left + 1, width)), int(np.clip(y2, top + 1, height))


def _area(rectangle: Rectangle) -> int:
    return (rectangle[2] - rectangle[0]) * (rectangle[3] - rectangle[1])


def _draw_box(draw: ImageDraw.ImageDraw, rectangle: Rectangle, color: Color, line_width: int) -> None:
    """Draw a frame inside the rectangle with a rim around it, dark or light, that sets it off from any background."""
    left, top, right, bottom = rectangle
    draw.rectangle((left - 1, top - 1, right, bottom), outline=(*text_color(color), 130))
    draw.rectangle((left, top, right - 1, bottom - 1), outline=(*color, 255), width=line_width)


def _paint_masks(
    canvas: Image.Image, detections: Detections, colors: dict[str, Color], size_hw: tuple[int, ...]
) -> Image.Image:
    """Tint the pixels of each mask in the colour of its name."""
    masks = detections.masks
    assert masks is not None
    if masks.shape[1:] != size_hw:
        raise ValueError(f'masks: expected the size of the image {size_hw}, got {masks.shape[1:]}')
    factor = canvas.width // size_hw[1]
    for index, name in enumerate(detections.names):
        if isinstance(masks, CroppedMasks):
            window, (left, top) = masks.windows[index], masks.corners[index]
        else:
            window, (left, top) = masks[index], (0, 0)
        if window.size:
            alpha = Image.fromarray(window.astype(np.uint8) * round(255 * MASK_OPACITY))
            alpha = alpha.resize((factor * alpha.width, factor * alpha.height))
            canvas.paste(colors[name], (factor * left, factor * top), mask=alpha)
    return canvas


def _enlarge(values: np.ndarray, image_wh: tuple[int, int]) -> np.ndarray:
    """Return an (h, w) float32 map at the size of the image, bilinear, cell centres aligned."""
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize(image_wh, Image.Resampling.BILINEAR))


def _tick_texts(ticks: np.ndarray) -> list[str]:
    """Return the values with as many decimals as tell them apart, two or three digits of their range."""
    span = float(np.ptp(ticks))
    if span == 0 or not 1e-4 < span < 1e5:
        return [f'{value:.2e}' if value else '0' for value in ticks]
    decimals = max(0, 1 - int(np.floor(np.log10(span))))
    return [f'{round(value, decimals) + 0:.{decimals}f}' for value in ticks]  # no -0.0


def _with_color_bar(
    overlay: Image.Image, value_range: tuple[float, float], title: str, font_path: str | None
) -> np.ndarray:
    """Put the picture on a white sheet with its title above and the bar with five values at the right."""
    text_size = _text_size(overlay)
    font = load_font(text_size, font_path)
    margin = text_size
    ticks = np.linspace(value_range[1], value_range[0], 5)
    numbers = _tick_texts(ticks)
    bar_width = round(1.2 * text_size)
    sheet_width = overlay.width + 3 * margin + bar_width + round(max(map(font.getlength, numbers)))
    head = 2 * text_size if title else 0
    sheet = Image.new('RGB', (sheet_width, overlay.height + head), 'white')
    sheet.paste(overlay, (0, head))
    draw = ImageDraw.Draw(sheet)
    if title:
        text = fit_text(title, font, sheet_width - margin)
        draw.text((margin // 2, head // 2), text, font=font, fill='black', anchor='lm')

    left, top, bottom = overlay.width + margin, head + margin, head + overlay.height - margin
    steps = np.linspace(1, 0, max(2, bottom - top))
    strip = (255 * colormaps[COLORMAP](steps)[:, None, :3]).round().astype(np.uint8)  # (H, 1, 3)
    sheet.paste(Image.fromarray(np.repeat(strip, bar_width, axis=1)), (left, top))
    draw.rectangle((left - 1, top - 1, left + bar_width, top + len(steps)), outline=(60, 60, 60))
    for number, y in zip(numbers, np.linspace(top, top + len(steps) - 1, len(numbers)), strict=True):
        draw.line((left + bar_width, y, left + bar_width + margin // 3, y), fill=(60, 60, 60))
        draw.text((left + bar_width + margin // 2, y), number, font=font, fill='black', anchor='lm')
    return np.asarray(sheet)
