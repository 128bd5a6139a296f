"""The contract as documents for those who write in another language: AsyncAPI and JSON Schemas, from the models.

`python -m services.contracts.publish` writes them into docs/contract.
"""
