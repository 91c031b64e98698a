"""A check that a checkpoint is of the model that it is loaded into."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from fgdet.registry import HOOKS
from fgdet.utils.checks import UserError


@HOOKS.register_module()
class CompleteCheckpointHook(Hook):
    """Refuses a checkpoint that leaves some weights of the model as chance made them, where mmengine only warns.

    It is for a run that is resumed or scored; one that starts from another model's weights does without.

    Args:
        source: how an error names the checkpoint.
    """

    priority = 'LOWEST'  # after a hook for moving averages has put them in their place

    def __init__(self, source: str) -> None:
        self.source = source

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Load the weights, before mmengine does, and look at what is missing; what is left over does no harm.

        Raises:
            UserError: weights are missing or of another size.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        state = checkpoint.get('state_dict', checkpoint)
        try:
            missing = model.load_state_dict({k.removeprefix('module.'): v for k, v in state.items()}, strict=False)[0]
        except RuntimeError as error:  # other sizes, one a line under a heading
            raise self._error(str(error).splitlines()[1].strip().rstrip('.')) from error
        if missing:
            shown = ', '.join(missing[:3]) + (', ...' if len(missing) > 3 else '')
            raise self._error(f'{len(missing)} of {len(model.state_dict())} weights are missing: {shown}')

    def _error(self, reason: str) -> UserError:
        return UserError(
            f"checkpoint {self.source}: it does not fit the config's model ({reason}); "
            'give one that this config has trained'
        )
