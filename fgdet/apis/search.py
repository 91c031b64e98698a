"""What ``fgdet detect`` searches with: a detector, or FG-CLIP on the boxes of another one, and what it looks for."""

from pathlib import Path
from typing import NamedTuple

from fgdet.apis.detection import Detector
from fgdet.apis.fusion import FusionSettings, RegionFusionDetector
from fgdet.apis.image_files import read_vocabulary
from fgdet.apis.image_prompts import image_prompt
from fgdet.apis.inference_settings import InferenceSettings
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError


class SearchOptions(NamedTuple):
    """The options of ``fgdet detect`` that say how to search, by their names there; None is what was not given."""

    checkpoint: str
    config: str | None = None
    vocab: str | None = None
    prompt_image: tuple[str, ...] = ()
    prompt_box: tuple[str, ...] = ()
    prompt_name: tuple[str, ...] = ()
    no_compete: bool = False
    device: str = 'auto'
    batch_size: int = 1
    tile: int | None = None
    tile_overlap: float = 0.25
    scale: int | None = None
    nms: str | None = None
    nms_iou: float | None = None
    max_per_image: int | None = None
    proposals: str | None = None
    proposals_checkpoint: str | None = None
    proposals_images: str | None = None
    proposals_alpha: float | None = None
    proposals_temperature: float | None = None


#: Options that mean nothing where the boxes come from elsewhere.
_OF_DETECTORS = ('config', 'prompt_image', 'tile', 'nms', 'no_compete')


def build_detector(options: SearchOptions) -> Detector | RegionFusionDetector:
    """What the options describe, with its vocabulary set.

    Raises:
        UserError: options contradict each other, or the files that they name do not fit.
    """
    vocabulary = None if options.vocab is None else read_vocabulary(options.vocab)
    if options.proposals is not None:
        return _build_fusion(options, vocabulary)
    given = [
        field for field in options._fields if field.startswith('proposals_') and getattr(options, field) is not None
    ]
    if given:
        raise UserError(f'{_flag(given[0])}: it means nothing without --proposals')
    settings = InferenceSettings(
        batch_size=options.batch_size,
        nms=options.nms,
        nms_iou=options.nms_iou,
        max_per_image=options.max_per_image,
        tile=options.tile,
        tile_overlap=options.tile_overlap,
        scale=options.scale,
        compete=not options.no_compete,
    )
    if Path(options.checkpoint).is_dir():
        raise UserError(
            f'checkpoint {options.checkpoint}: a folder holds FG-CLIP weights and no detector; give what a '
            'training of one wrote, or boxes from elsewhere with --proposals'
        )
    boxes = _prompt_boxes(options)
    detector = Detector.from_pretrained(options.config, options.checkpoint, options.device, settings)
    if boxes:
        prompts = {
            name: image_prompt(detector, image, box)
            for name, image, box in zip(_prompt_names(options), options.prompt_image, boxes, strict=True)
        }
        if vocabulary is None:
            vocabulary = Vocabulary(list(prompts), image_prompts=prompts)
        else:
            vocabulary = vocabulary.with_image_prompts(prompts)
        vocabulary = vocabulary.with_negatives(())  # an example is a mix of the names that would stand against it
    if vocabulary is not None:
        detector.set_vocabulary(vocabulary)
    return detector


def _build_fusion(options: SearchOptions, vocabulary: Vocabulary | None) -> RegionFusionDetector:
    ignored = [field for field in _OF_DETECTORS if getattr(options, field)]
    ignored += ['batch_size'] if options.batch_size > 1 else []
    if ignored:
        raise UserError(f'{_flag(ignored[0])}: it means nothing with --proposals; leave it out')
    proposals, checkpoint = str(options.proposals), options.proposals_checkpoint
    is_file = Path(proposals).suffix == '.json'
    if is_file == (checkpoint is not None) or (options.proposals_images is not None and not is_file):
        raise UserError(
            f'--proposals {proposals}: expected a .json file, with --proposals-images where it is a list of results; '
            'or an mmdet config with --proposals-checkpoint'
        )
    own = FusionSettings()
    settings = FusionSettings(
        size=options.scale,
        alpha=own.alpha if options.proposals_alpha is None else options.proposals_alpha,
        temperature=options.proposals_temperature,
        nms_iou=options.nms_iou or own.nms_iou,
        max_per_img=options.max_per_image or own.max_per_img,
    )
    return RegionFusionDetector.from_pretrained(
        options.checkpoint,
        proposals if checkpoint is None else (proposals, checkpoint),
        vocabulary,
        options.device,
        settings=settings,
        proposals_images=options.proposals_images,
    )


def _prompt_boxes(options: SearchOptions) -> list[list[float]]:
    """The boxes of the prompt images.

    Raises:
        UserError: not one for each, or not four numbers.
    """
    if len(options.prompt_image) != len(options.prompt_box):
        count = f'{len(options.prompt_image)} --prompt-image and {len(options.prompt_box)} --prompt-box'
        raise UserError(f'image prompts: expected a box for each image, got {count}')
    boxes = []
    for text in options.prompt_box:
        try:
            boxes.append([float(number) for number in text.split(',')])
        except ValueError:
            raise UserError(f'--prompt-box {text}: expected four numbers x1,y1,x2,y2 in pixels') from None
    return boxes


def _prompt_names(options: SearchOptions) -> list[str]:
    names = list(options.prompt_name) or [Path(image).stem for image in options.prompt_image]
    if len(names) != len(options.prompt_image) or len(set(names)) < len(names):
        images = f'{len(options.prompt_image)} prompt images'
        raise UserError(f'--prompt-name: expected one for each of {images}, all different, got {", ".join(names)}')
    return names


def _flag(field: str) -> str:
    return '--' + field.replace('_', '-')
