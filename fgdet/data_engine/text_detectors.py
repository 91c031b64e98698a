"""A detector that takes text, of mmdet or of fgdet, from its config and checkpoint."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch

from fgdet.checkpoints.loading import read_state_file
from fgdet.models.detectors.open_vocabulary import OpenVocabularyMixin
from fgdet.registry import MODELS
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError, existing_file
from fgdet.utils.configs import read_config
from fgdet.utils.imports import import_quietly

# Between the texts of a prompt, as Grounding DINO and GLIP take it.
_SEPARATOR = ' . '


@lru_cache(maxsize=1)
def load_text_detector(
    config: str, checkpoint: str, device: str
) -> Callable[[np.ndarray, Sequence[str]], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Build a detector of mmdet that takes text, load its weights, and return what to call with an image and texts.

    Args:
        config: of the detector; its test pipeline is taken.
        checkpoint: its weights.
        device: as for torch.

    Raises:
        UserError: a file is missing or damaged, the detector cannot be built or takes no text, or a package is missing
            that it needs.
    """
    cfg = read_config(config)
    content = read_state_file(existing_file(checkpoint, 'checkpoint'))
    import_quietly('mmdet.apis', 'mmdet.datasets.transforms', 'mmdet.models')
    from mmdet.apis import inference_detector
    from mmengine.registry import init_default_scope

    init_default_scope(cfg.get('default_scope', 'mmdet'))
    try:
        model = MODELS.build(cfg.model)
        model.load_state_dict(content.get('state_dict', content))
    except (KeyError, TypeError, AttributeError, RuntimeError, ImportError) as error:
        reason = ' '.join(str(error).split())[:300]
        raise UserError(f'detector {config}: it cannot be built with the weights of {checkpoint} ({reason})') from error
    is_own = isinstance(model, OpenVocabularyMixin)
    if not is_own and not hasattr(model, 'language_model'):
        raise UserError(f'detector {config}: a {type(model).__name__} takes no text; give Grounding DINO, GLIP or ours')
    model = model.to(torch.device(device)).eval()
    model.cfg = cfg

    def detect(image: np.ndarray, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        bgr = np.ascontiguousarray(image[..., ::-1])
        if is_own:
            model.set_vocabulary(Vocabulary(texts, templates=['{}']))
            found = inference_detector(model, bgr)
        else:
            prompt = _SEPARATOR.join(text.replace('.', ' ').strip() for text in texts)
            found = inference_detector(model, bgr, text_prompt=prompt, custom_entities=True)
        boxes = found.pred_instances.cpu().numpy()
        return boxes.bboxes, boxes.scores, boxes.labels

    return detect
