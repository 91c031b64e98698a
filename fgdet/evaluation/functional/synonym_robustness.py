"""How much average precision is lost where classes are looked for under other words.

Axis letters: K classes, V variants of the vocabulary.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from fgdet.evaluation.functional.detection_matches import Matches, RightDetections


class SynonymResampler:
    """AP50 under the names and under their synonyms, for any draw of the images: both see the same images.

    Args:
        names: matches of what was found under the names.
        synonyms: of what was found under V >= 1 vocabularies of synonyms; their AP50 is averaged.
        groups: (K,) bool for each group of classes.
    """

    def __init__(self, names: Matches, synonyms: Sequence[Matches], groups: Mapping[str, np.ndarray]) -> None:
        self.image_ids = names.image_ids
        self._names, self._synonyms = RightDetections(names, [0]), [RightDetections(each, [0]) for each in synonyms]
        self._groups = dict(groups)

    def class_scores(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(K,) AP50 under the names, and (K,) under the synonyms, with image i counted ``weights[i]`` times; NaN for a
        class without objects in the draw."""
        synonyms = [each.average_precisions(weights)[0] for each in self._synonyms]
        return self._names.average_precisions(weights)[0], np.mean(synonyms, axis=0)

    def scores(self, weights: np.ndarray) -> dict[str, float]:
        """Return ``<group>_ap50, <group>_synonym_ap50`` and ``<group>_drop``, the first minus the second."""
        names, synonyms = self.class_scores(weights)
        scores: dict[str, float] = {}
        for group, members in self._groups.items():
            known = members & ~np.isnan(names)
            before, after = (float(each[known].mean()) if known.any() else float('nan') for each in (names, synonyms))
            scores |= {f'{group}_ap50': before, f'{group}_synonym_ap50': after, f'{group}_drop': before - after}
        return scores
