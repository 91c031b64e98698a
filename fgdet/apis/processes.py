"""The processes of a distributed run: one for each GPU, or on the CPU's cores where a machine has no GPU."""

import atexit
import os
import subprocess
import sys

import torch
import torch.distributed as dist

from fgdet.utils.checks import UserError

#: What each launcher tells a process: its number, how many there are, and its number on its machine.
_PLACES = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
}
LAUNCHERS = ('none', *_PLACES)


def join_processes(launcher: str) -> None:
    """Check that this process has a device of its own; without any GPU, meet the other processes over gloo.

    With GPUs mmengine lets the processes meet, over the config's ``env_cfg.dist_cfg.backend``. It knows no way to do
    that without one.

    Args:
        launcher: what started this process: one of ``LAUNCHERS``.

    Raises:
        UserError: the launcher's variables are missing, or there are more processes than GPUs.
    """
    if launcher == 'none' or dist.is_initialized():
        return
    missing = [name for name in _PLACES[launcher] if name not in os.environ]
    if missing:
        starter = {'pytorch': 'tools/dist_train.sh or torchrun', 'slurm': 'srun', 'mpi': 'mpirun'}[launcher]
        raise UserError(f'launcher {launcher}: it has not set {", ".join(missing)}; start the run with {starter}')
    rank, world_size, local_rank = (int(os.environ[name]) for name in _PLACES[launcher])
    gpus = torch.cuda.device_count()
    if 0 < gpus <= local_rank:
        if local_rank > gpus:  # the first one without a GPU speaks for all
            sys.exit(1)
        raise UserError(
            f'launcher {launcher}: each process of a machine needs a GPU of its own, and torch sees {gpus} here; '
            f'start {gpus} on each machine (with srun, let every task see all of its GPUs)'
        )
    if not gpus:
        os.environ.update(RANK=str(rank), WORLD_SIZE=str(world_size), LOCAL_RANK=str(local_rank))
        if launcher == 'slurm' and 'MASTER_ADDR' not in os.environ:
            hosts = subprocess.check_output(['scontrol', 'show', 'hostnames', os.environ['SLURM_NODELIST']], text=True)
            os.environ['MASTER_ADDR'] = hosts.split()[0]
        os.environ.setdefault('MASTER_ADDR', '127.0.0.1')
        os.environ.setdefault('MASTER_PORT', '29500')
        dist.init_process_group('gloo')
        atexit.register(_leave)  # else gloo's threads may abort the process as it ends


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
