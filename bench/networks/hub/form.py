"""Form of a BERT. No torch here."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Form(BaseModel):
    """Form of an encoder, as `config.json` of a BERT says it (Devlin et al. 2019, arXiv:1810.04805)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    model_type: str
    vocab_size: int = Field(ge=1, le=2**22)
    hidden_size: int = Field(ge=1, le=2**14)
    num_hidden_layers: int = Field(ge=1, le=200)
    num_attention_heads: int = Field(ge=1, le=1000)
    intermediate_size: int = Field(ge=1, le=2**16)
    max_position_embeddings: int = Field(ge=2, le=2**16)
    type_vocab_size: int = Field(2, ge=1, le=64)
    layer_norm_eps: float = Field(1e-12, gt=0, lt=1)
    hidden_act: str = "gelu"
    pad_token_id: int = Field(0, ge=0)

    @property
    def first_position(self) -> int:
        """Number of the first position's embedding: those of RoBERTa begin behind the padding's number."""
        return 0 if self.model_type == "bert" else self.pad_token_id + 1
