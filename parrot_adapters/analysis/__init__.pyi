from .diagnose import (
    Diagnosis as Diagnosis,
)
from .diagnose import (
    Sample as Sample,
)
from .diagnose import (
    diagnose as diagnose,
)
from .explain import (
    Explanation as Explanation,
)
from .explain import (
    PromptInputs as PromptInputs,
)
from .explain import (
    explain as explain,
)
from .layer_hooks import (
    Pass as Pass,
)
from .layer_hooks import (
    watched as watched,
)
from .routing_observers import RoutingObserver as RoutingObserver
from .tensorboard import TensorBoardObserver as TensorBoardObserver
from .token_similarity import (
    linear_cka as linear_cka,
)
from .token_similarity import (
    retrieval as retrieval,
)
