"""Long and short captions: from an endpoint, from a local model, from files that exist, or from given boxes."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fgdet.data_engine.annotation_captions import describe, things_of
from fgdet.data_engine.caption_sources import CaptionSource, first_sentence
from fgdet.data_engine.endpoint import ChatEndpoint, ChatRequest, parse_json
from fgdet.data_engine.image_record import ImageRecord
from fgdet.data_engine.picture import read_picture
from fgdet.data_engine.prompt_files import load_prompt
from fgdet.data_engine.region_colours import COLOURED, name_colours
from fgdet.data_engine.stage import Failure
from fgdet.utils.checks import UserError

#: A larger JPEG is decoded to this length at least before colours are measured in it, in pixels.
_COLOUR_SIDE = 640
#: Beginnings of an answer that is about the assistant, not about the picture.
_REFUSALS = ("i'm sorry", 'i am sorry', 'sorry', 'i cannot', "i can't", 'i am unable', "i'm unable", 'as an ai')


class EndpointCaptioner:
    """Captions of an OpenAI-compatible vision endpoint, both in one answer, so that an image is paid for once.

    Args:
        images: the folder that ``record.path`` is relative to.
        endpoint: a :class:`ChatEndpoint` or its arguments, such as ``dict(url=..., model=...)``.
        prompt: a prompt of the package by name, or a text file; it has to ask for a JSON object with ``caption`` and
            ``short_caption``.
        min_words: fewest of the long caption.
        max_short_words: most of the short caption.
        batch_size: records at once; at least the endpoint's concurrency keeps it busy.
    """

    name = 'caption'
    #: It waits most of the time, and the rate limit is one for all.
    in_process = True

    def __init__(
        self,
        images: str | Path,
        endpoint: ChatEndpoint | Mapping[str, Any],
        prompt: str | Path = 'captions',
        min_words: int = 15,
        max_short_words: int = 40,
        batch_size: int = 32,
    ) -> None:
        self.images = Path(images)
        self.endpoint = endpoint if isinstance(endpoint, ChatEndpoint) else ChatEndpoint(**endpoint)
        self.prompt = load_prompt(prompt)
        self.min_words, self.max_short_words = min_words, max_short_words
        self.batch_size = batch_size

    def settings(self) -> dict[str, Any]:
        """Return the endpoint's settings and the prompt's version."""
        words = dict(min_words=self.min_words, max_short_words=self.max_short_words)
        return dict(captioner='endpoint', prompt=self.prompt.label(), **words, endpoint=self.endpoint.settings())

    def run(self, records: Sequence[ImageRecord]) -> list[ImageRecord | Failure]:
        """Return the records with captions, or why there are none."""
        requests = [ChatRequest(r.key, self.prompt.text, self.images / r.path, self._check) for r in records]
        results: list[ImageRecord | Failure] = []
        for record, answer in zip(records, self.endpoint.ask_many(requests), strict=True):
            if isinstance(answer, Failure):
                results.append(answer)
            else:
                source = dict(captioner='endpoint', prompt=self.prompt.label(), **answer.provenance())
                long, short = answer.value
                results.append(_captioned(record, long, short, source))
        return results

    def _check(self, text: str) -> tuple[str, str]:
        """The long and the short caption of an answer."""
        content = parse_json(text)
        if not isinstance(content, dict):
            raise ValueError('it is no JSON object')
        captions = []
        for field in ('caption', 'short_caption'):
            value = content.get(field)
            if not isinstance(value, str) or not value.strip():
                raise ValueError(f'it has no text "{field}"')
            captions.append(' '.join(value.split()))
            if captions[-1].lower().startswith(_REFUSALS):
                raise ValueError(f'"{field}" is not about the picture')
        long, short = captions
        if len(long.split()) < self.min_words:
            raise ValueError(f'"caption" has {len(long.split())} words; at least {self.min_words} are needed')
        if len(short.split()) > self.max_short_words:
            raise ValueError(
                f'"short_caption" has {len(short.split())} words; at most {self.max_short_words} are allowed'
            )
        return long, short


class LocalCaptioner:
    """Captions of an image-to-text model of the transformers library, in a folder on this machine.

    The most probable words are taken, one image at a time, so that a caption does not depend on the batch. The short
    caption is the first sentence. No code of the model's folder is run.

    Args:
        images: the folder that ``record.path`` is relative to.
        model: the folder with the weights, the configuration and the processor.
        prompt: what the model goes on from, with its mark for the image where it needs one; it is cut off the caption.
            None for models that need nothing.
        device: of torch; ``auto`` is a CUDA device where there is one.
        max_tokens: of a caption.

    Raises:
        UserError: no such folder.
    """

    name = 'caption'
    #: One process holds the model.
    in_process = True
    batch_size = 8

    def __init__(
        self,
        images: str | Path,
        model: str | Path,
        prompt: str | None = None,
        device: str = 'auto',
        max_tokens: int = 120,
    ) -> None:
        self.images, self.model = Path(images), Path(model)
        if not (self.model / 'config.json').is_file():
            raise UserError(f'caption model {model}: there is no config.json in it; give the folder of a saved model')
        self.prompt, self.device, self.max_tokens = prompt, device, max_tokens
        self._loaded: tuple[Any, Any] | None = None

    def settings(self) -> dict[str, Any]:
        """Return the model's name, what its files are, and how it is asked; the weights are told by their size."""
        files = sorted(path for path in self.model.iterdir() if path.is_file())
        digest = hashlib.sha256((self.model / 'config.json').read_bytes())
        digest.update(repr([(path.name, path.stat().st_size) for path in files]).encode())
        names = dict(captioner='local', model=self.model.name, files=digest.hexdigest()[:12])
        return dict(**names, prompt=self.prompt, max_tokens=self.max_tokens)

    def run(self, records: Sequence[ImageRecord]) -> list[ImageRecord | Failure]:
        """Return the records with captions, or why there are none.

        Raises:
            UserError: transformers is not installed, or the model cannot be loaded.
        """
        source = self.settings()
        results: list[ImageRecord | Failure] = []
        for record in records:
            try:
                image = read_picture(self.images, record).image
            except ValueError as error:
                results.append(Failure(record.key, str(error)))
                continue
            caption = self._caption(image)
            empty = Failure(record.key, 'the caption model gave no text')
            results.append(_captioned(record, caption, first_sentence(caption), source) if caption else empty)
        return results

    def _caption(self, image: Image.Image) -> str:
        import torch

        processor, model = self._load()
        inputs = processor(images=image, text=self.prompt, return_tensors='pt').to(model.device)
        with torch.inference_mode():
            tokens = model.generate(**inputs, max_new_tokens=self.max_tokens, do_sample=False, num_beams=1)
        asked = inputs.get('input_ids', tokens[:, :0])
        if asked.shape[1] < tokens.shape[1] and torch.equal(tokens[:, : asked.shape[1]], asked):
            tokens = tokens[:, asked.shape[1] :]
        text = processor.batch_decode(tokens, skip_special_tokens=True)[0]
        text, asked_words = ' '.join(text.split()), ' '.join((self.prompt or '').split())
        return text[len(asked_words) :].strip() if text.lower().startswith(asked_words.lower()) else text

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            try:
                from transformers import AutoModelForImageTextToText, AutoProcessor
            except ImportError as error:
                raise UserError(
                    'captions of a local model need transformers: pip install "transformers>=4.46"'
                ) from error
            import torch

            device = ('cuda' if torch.cuda.is_available() else 'cpu') if self.device == 'auto' else self.device
            try:
                processor = AutoProcessor.from_pretrained(self.model, local_files_only=True)
                model = AutoModelForImageTextToText.from_pretrained(self.model, local_files_only=True)
            except (OSError, ValueError) as error:
                reason = ' '.join(str(error).split())[:200]
                raise UserError(f'caption model {self.model}: it cannot be loaded ({reason})') from error
            self._loaded = processor, model.to(device).eval()
        return self._loaded

    def __getstate__(self) -> dict[str, Any]:
        """What a worker gets: it loads the weights itself."""
        return self.__dict__ | dict(_loaded=None)


class ExistingCaptions:
    """Captions that somebody has written already.

    Args:
        captions: a file of captions (COCO's, Karpathy's, FineHARD records, records of image and captions), a folder of
            tar shards with ``key.txt`` or ``key.json`` members, or a folder of ``name.txt`` or ``name.json`` files,
            which may be that of the images.
    """

    name = 'caption'
    batch_size = 256

    def __init__(self, captions: str | Path) -> None:
        self.source = CaptionSource(captions)

    def settings(self) -> dict[str, Any]:
        """Return the name and the form of the captions."""
        return dict(captioner='existing', captions=self.source.path.name, form=self.source.form)

    def run(self, records: Sequence[ImageRecord]) -> list[ImageRecord | Failure]:
        """Return the records with captions, or why there are none.

        Raises:
            UserError: the list or a shard cannot be read.
        """
        self.source.load()
        source, results = self.settings(), list[ImageRecord | Failure]()
        for record in records:
            try:
                found = self.source.find(record)
            except UserError as error:
                results.append(Failure(record.key, str(error)))
                continue
            missing = Failure(record.key, f'captions {self.source.path}: there is none of {record.path}')
            results.append(missing if found is None else _captioned(record, *found, source))
        return results


class AnnotationCaptioner:
    """Captions made of the record's annotations; needs nothing, and is the default.

    Each annotation that the caption has a phrase of gets its place there: ``'span': [start, end]``. An image without
    annotations is dropped.

    Args:
        images: the folder that ``record.path`` is relative to; None leaves colours out.
        colours: whether colours are measured in the image, for things that have one and where it is clear.
    """

    name = 'caption'
    batch_size = 64

    def __init__(self, images: str | Path | None = None, colours: bool = True) -> None:
        self.images = images if colours else None

    def settings(self) -> dict[str, Any]:
        """Return whether colours are measured, and the version of the words."""
        return dict(captioner='annotations', colours=self.images is not None, version=1)

    def run(self, records: Sequence[ImageRecord]) -> list[ImageRecord | Failure]:
        """Return the records with captions, or why there are none."""
        return [self._describe(record) for record in records]

    def _describe(self, record: ImageRecord) -> ImageRecord | Failure:
        if not record.annotations:
            return replace(record, dropped='no annotation to make a caption of')
        if min(record.width, record.height) < 1:
            return Failure(record.key, f'the size of the image is not known, got {record.width} x {record.height}')
        things = things_of(record.annotations, record.width, record.height)
        if self.images is not None and any(thing.name in COLOURED for thing in things):
            try:
                pixels = np.asarray(read_picture(self.images, record, _COLOUR_SIDE).image)
            except ValueError as error:
                return Failure(record.key, str(error))
            height, width = pixels.shape[:2]
            boxes = [(x1 * width, y1 * height, x2 * width, y2 * height) for x1, y1, x2, y2 in (t.box for t in things)]
            wanted = [thing.name in COLOURED and not thing.is_group for thing in things]
            names = name_colours(pixels, boxes, wanted)
            things = [thing._replace(colour=name) for thing, name in zip(things, names, strict=True)]
        said = describe(things)
        annotations = [
            {**each, 'span': list(span)} if span else dict(each)
            for each, span in zip(record.annotations, said.spans, strict=True)
        ]
        record = replace(record, annotations=annotations)
        return _captioned(record, said.caption, said.short_caption, self.settings())


def _captioned(record: ImageRecord, caption: str, short_caption: str, source: dict[str, Any]) -> ImageRecord:
    provenance = record.provenance | dict(caption=source)
    return replace(record, caption=caption, short_caption=short_caption, provenance=provenance)
