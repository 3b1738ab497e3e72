"""All that XLA compiles from when this is imported on."""

import jax

COMPILATIONS = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, duration, **_: (
        COMPILATIONS.append(event)
        if event == "/jax/core/compile/backend_compile_duration"
        else None
    )
)
