from fgdet.engine.hooks.complete_checkpoint import CompleteCheckpointHook
from fgdet.engine.hooks.dataset_vocabulary_hook import DatasetVocabularyHook
from fgdet.engine.hooks.skipped_records import SkippedRecordsHook
from fgdet.engine.hooks.throughput import ThroughputHook

__all__ = ['CompleteCheckpointHook', 'DatasetVocabularyHook', 'SkippedRecordsHook', 'ThroughputHook']
