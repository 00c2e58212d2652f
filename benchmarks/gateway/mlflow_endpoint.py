"""Write an endpoint of MLflow's AI Gateway into a new database, with MLflow's defaults. Runs in MLflow's own environment.

python mlflow_endpoint.py sqlite:////tmp/mlflow.db http://127.0.0.1:8000/v1
"""

import sys

from mlflow.entities import GatewayEndpointModelConfig, GatewayModelLinkageType
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore


def main() -> None:
    database, upstream = sys.argv[1:]
    store = SqlAlchemyStore(database, "artifacts")
    secret = store.create_gateway_secret(
        "stub", {"api_key": "none"}, provider="openai", auth_config={"api_base": upstream}
    )
    model = store.create_gateway_model_definition("stub", secret.secret_id, "openai", "stub")
    link = GatewayEndpointModelConfig(
        model.model_definition_id, GatewayModelLinkageType.PRIMARY, weight=1.0
    )
    store.create_gateway_endpoint("stub", [link])


if __name__ == "__main__":
    main()
