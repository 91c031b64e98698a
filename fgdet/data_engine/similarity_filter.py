"""How well regions fit their phrases under FG-CLIP; those that do not go.

Axes: B images, R regions, d embedding, S side of the square that the model sees.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from fgdet.data_engine.image_record import ImageRecord, Region
from fgdet.data_engine.picture import read_picture
from fgdet.data_engine.stage import Failure
from fgdet.models.fg_clip import FGCLIP
from fgdet.structures.region_text_sample import BadRecord
from fgdet.utils.fingerprint import state_fingerprint


class SimilarityFilter:
    """Leaves out regions whose cosine with their phrase is under a threshold; notes it on those that stay.

    An image passes the tower once for all its regions. A record stays when all its regions go, unless ``drop_empty``.

    Args:
        images: folder of the images.
        checkpoint: FG-CLIP weights, as for :meth:`fgdet.models.fg_clip.FGCLIP.from_pretrained`.
        least: cosine that a region needs.
        device: as for torch.
        drop_empty: leave out an image whose regions all went.
        images_at_once: images that pass the tower together. With more than 1 the cosine's last digits may depend on the
            neighbours; it is rounded to 4 digits, so that this shows seldom. A GPU wants 32 or more.
        batch_size: records at once; has no effect beyond ``images_at_once``.

    Raises:
        ValueError: ``images_at_once`` is below 1.
    """

    name = 'similarity'
    #: One process holds the weights; torch uses all cores in it.
    in_process = True

    def __init__(
        self,
        images: str | Path,
        checkpoint: str | Path,
        least: float = 0.15,
        device: str = 'cpu',
        drop_empty: bool = False,
        images_at_once: int = 1,
        batch_size: int = 64,
    ) -> None:
        if images_at_once < 1:
            raise ValueError(f'images_at_once: expected at least 1, got {images_at_once}')
        self.images, self.checkpoint, self.least, self.device = images, checkpoint, least, device
        self.drop_empty, self.images_at_once, self.batch_size = drop_empty, images_at_once, batch_size

    def settings(self) -> dict[str, Any]:
        """The threshold, and the weights by name and content; reads them."""
        return dict(
            checkpoint=Path(self.checkpoint).name,
            fingerprint=_load(str(self.checkpoint), self.device)[1],
            least=self.least,
            drop_empty=self.drop_empty,
            images_at_once=self.images_at_once,
        )

    def run(self, records: Sequence[ImageRecord]) -> list[ImageRecord | Failure]:
        """Judge the regions of each record; a file that cannot be read is a Failure."""
        outcomes: list[ImageRecord | Failure] = list(records)
        todo = [i for i, record in enumerate(records) if record.dropped is None and record.regions]
        for start in range(0, len(todo), self.images_at_once):
            images, places = [], []
            for place in todo[start : start + self.images_at_once]:
                try:
                    images.append(read_picture(self.images, records[place]).image)
                    places.append(place)
                except BadRecord as error:
                    outcomes[place] = Failure(records[place].key, str(error))
            if images:
                found = self._similarities(images, [records[place].regions for place in places])
                for place, similarities in zip(places, found, strict=True):
                    outcomes[place] = self._judged(records[place], similarities)
        return outcomes

    def _judged(self, record: ImageRecord, similarities: list[float]) -> ImageRecord:
        scored = [replace(region, similarity=s) for region, s in zip(record.regions, similarities, strict=True)]
        kept = [region for region, s in zip(scored, similarities, strict=True) if s >= self.least]
        scores = {
            **record.scores,
            'similarity_mean': round(sum(similarities) / len(similarities), 4),
            'similarity_least': min(similarities),
        }
        note = dict(regions=len(kept), left_out=len(scored) - len(kept))
        dropped = 'no similar region' if self.drop_empty and not kept else None
        provenance = {**record.provenance, self.name: note}
        return replace(record, regions=kept, scores=scores, provenance=provenance, dropped=dropped)

    @torch.no_grad()
    def _similarities(self, images: Sequence[Any], regions: Sequence[Sequence[Region]]) -> list[list[float]]:
        """Cosines of the regions of each of B images with their phrases."""
        model = _load(str(self.checkpoint), self.device)[0]
        side, device = model.preprocessing.image_size, torch.device(self.device)
        boxes = [
            torch.tensor([region.box for region in some], dtype=torch.float64)
            / torch.tensor([image.width, image.height] * 2, dtype=torch.float64)
            * side
            for image, some in zip(images, regions, strict=True)
        ]
        pixels = model.preprocess(images).to(device)  # (B, 3, S, S)
        seen = model.encode_regions(pixels, [each.float().to(device) for each in boxes], normalize=True)  # (R, d)
        texts = [region.phrase.text for some in regions for region in some]
        distinct = sorted(set(texts))
        said = F.normalize(model.text.encode_groups([(model.tokenize(distinct), False)])[0], dim=1)
        rows = torch.tensor([distinct.index(text) for text in texts], device=device)
        cosines = (seen.float() * said.float()[rows]).sum(dim=1)  # (R,)
        return [[round(value, 4) for value in part.tolist()] for part in cosines.cpu().split([len(r) for r in regions])]


@lru_cache(maxsize=1)
def _load(checkpoint: str, device: str) -> tuple[FGCLIP, str]:
    model = FGCLIP.from_pretrained(checkpoint)
    return model.requires_grad_(False).to(torch.device(device)), state_fingerprint(model)
