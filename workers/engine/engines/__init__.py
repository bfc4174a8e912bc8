"""The engines. Each is named by `engine.kind` and built in the engine process as (settings, models_folder, slots)."""

ENGINES = {
    "transformers": "workers.engine.engines.transformers:TransformersEngine",
    "openai": "workers.engine.engines.openai:OpenAIEngine",
    "hybrid": "workers.engine.engines.hybrid:HybridEngine",
    "echo": "workers.engine.engines.echo:EchoEngine",
}
"""Where the engine of each `engine.kind` stands; as text, since importing it here would import torch.

Any other kind is itself such a place, MODULE:CLASS."""
