from fgdet.engine.hooks.class_texts import ClassTextsHook
from fgdet.engine.hooks.complete_checkpoint import CompleteCheckpointHook
from fgdet.engine.hooks.dataset_vocabulary_hook import DatasetVocabularyHook
from fgdet.engine.hooks.skipped_records import SkippedRecordsHook
from fgdet.engine.hooks.throughput import ThroughputHook

__all__ = ['ClassTextsHook', 'CompleteCheckpointHook', 'DatasetVocabularyHook', 'SkippedRecordsHook', 'ThroughputHook']
