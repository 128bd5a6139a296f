"""The providers that come with Kaito Bus: one package each, imported only when it is the chosen one."""
