"""The commands of `talktime`, a file for each thing they are about. They ask a service over its client, like anyone else."""
