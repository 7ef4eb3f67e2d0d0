"""LocalAuthListManagement keys. Source: OCPP 1.6 edition 2, section 9.2. Lengths in entries."""

ROWS = """\
LocalAuthListMaxLength R int 100
SendLocalListMaxLength R int 20
LocalAuthListEnabled RW bool true
"""
