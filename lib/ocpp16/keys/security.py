"""Keys of the security white paper for OCPP 1.6-J (edition 3), section 5.

AuthorizationKey and SecurityProfile have rules beyond a range (form of the key, only upwards, certificates present):
who serves ChangeConfiguration checks those first.
"""

ROWS = """\
AdditionalRootCertificateCheck R bool false
CertificateSignedMaxChainSize R int 10000
CertificateStoreMaxLength R int 4
AuthorizationKey W str - 16..40
CpoName RW str -
SecurityProfile RW int 0 0..3
"""
