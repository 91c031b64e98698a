"""What travels from stage to stage of the data engine: one image, what is said of it, and where in it that is."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Phrase:
    """A referring expression of a caption.

    Args:
        text: as it stands in the caption, such as ``a red mug with a wooden handle``.
        start: its first character in the caption; -1 where it was not taken from one.
        end: the character after its last.
        noun: the noun that it is about, such as ``mug``.
        attributes: what tells the thing from others of its noun: ``{'word', 'kind'}``, the kinds being those of
            :mod:`fgdet.data_engine.attributes`.
        number: ``one``, ``many`` (``two mugs``) or ``group`` (``a crowd of people``).
    """

    text: str
    start: int = -1
    end: int = -1
    noun: str = ''
    attributes: list[dict[str, str]] = field(default_factory=list)
    number: str = 'one'


@dataclass
class Negative:
    """A phrase that is wrong of a region in its attributes alone.

    Args:
        text: the whole phrase.
        kind: of the attribute that is another one.
        replaced: the true word.
        by: the false word.
    """

    text: str
    kind: str = ''
    replaced: str = ''
    by: str = ''


@dataclass
class Region:
    """A box and its phrase.

    Args:
        box: x1, y1, x2, y2 in pixels of the upright image.
        score: how sure the detector was, 0..1.
        phrase: what is there.
        negatives: what is not.
        similarity: cosine of the region and its phrase under the filter's weights; None before it.
    """

    box: tuple[float, float, float, float]
    score: float
    phrase: Phrase
    negatives: list[Negative] = field(default_factory=list)
    similarity: float | None = None


@dataclass
class ImageRecord:
    """One image on its way through the stages.

    Args:
        key: names it in lists and shards; unique in a data set.
        path: of the image, relative to the folder of images.
        width: pixels of the upright image.
        height: the same.
        caption: long.
        short_caption: short.
        phrases: of the caption.
        regions: grounded phrases.
        annotations: given boxes: ``{'bbox': [x, y, width, height], 'name': str}``, in pixels of the upright image.
            A captioner may add ``'span'``: first character and end of what the caption says of the box.
        dropped: why a filter left the image out; None while it is in.
        scores: what filters measured, by name.
        provenance: by stage, what made its part: model, version of the prompt, tokens, cost. Never a key or an address
            with credentials.
    """

    key: str
    path: str
    width: int = 0
    height: int = 0
    caption: str = ''
    short_caption: str = ''
    phrases: list[Phrase] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    dropped: str | None = None
    scores: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain dicts, lists, texts and numbers."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> 'ImageRecord':
        """Return the record of :meth:`to_json`; unknown or missing fields raise TypeError."""
        regions = [
            Region(
                tuple(each['box']),
                each['score'],
                Phrase(**each['phrase']),
                [Negative(**negative) for negative in each['negatives']],
                each['similarity'],
            )
            for each in content['regions']
        ]
        phrases = [Phrase(**each) for each in content['phrases']]
        return cls(**{**content, 'phrases': phrases, 'regions': regions})
