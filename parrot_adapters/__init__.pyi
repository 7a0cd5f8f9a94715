from . import plugins as plugins
from .adapter.attach import (
    attach as attach,
)
from .adapter.attach import (
    attach_projector as attach_projector,
)
from .adapter.auxiliary_losses import auxiliary_losses as auxiliary_losses
from .adapter.build_layer import build_layer as build_layer
from .adapter.config import AdapterConfig as AdapterConfig
from .adapter.expert_sizes import (
    equal_hidden_size as equal_hidden_size,
)
from .adapter.expert_sizes import (
    expert_parameters as expert_parameters,
)
from .adapter.fold_experts import freeze_routing as freeze_routing
from .adapter.grow_experts import grow as grow
from .adapter.handle import (
    Attachment as Attachment,
)
from .adapter.handle import (
    attachment_of as attachment_of,
)
from .adapter.language_routing import (
    read_language_routing as read_language_routing,
)
from .adapter.language_routing import (
    write_language_routing as write_language_routing,
)
from .adapter.load import load_adapter as load_adapter
from .adapter.self_test import self_test as self_test
from .core import (
    Aligned as Aligned,
)
from .core import (
    AlignmentLayer as AlignmentLayer,
)
from .core import (
    Routing as Routing,
)
from .core import (
    RoutingInputs as RoutingInputs,
)
from .core.routing_record import RoutingRecord as RoutingRecord
from .errors import (
    ParrotError as ParrotError,
)
from .errors import (
    ParrotWarning as ParrotWarning,
)
from .examples import Example as Example
from .hosts import (
    EncodedImages as EncodedImages,
)
from .hosts import (
    HostSpec as HostSpec,
)
from .plugins.hookspecs import hookimpl as hookimpl

__version__: str
