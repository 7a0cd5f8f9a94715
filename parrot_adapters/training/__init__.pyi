from .config_hash import (
    config_hash as config_hash,
)
from .config_hash import (
    config_to_dict as config_to_dict,
)
from .config_hash import (
    differences as differences,
)
from .config_loading import load_config as load_config
from .host_of_run import load_training_host as load_training_host
from .parameter_roles import (
    assign_roles as assign_roles,
)
from .parameter_roles import (
    parameter_groups as parameter_groups,
)
from .parameter_roles import (
    set_trainable as set_trainable,
)
from .required_paths import missing_paths as missing_paths
from .run import (
    TrainingResult as TrainingResult,
)
from .run import (
    prepare_run as prepare_run,
)
from .run import (
    train as train,
)
from .training_config import TrainingConfig as TrainingConfig
