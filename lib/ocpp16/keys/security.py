"""Keys of a charge point that manages certificates by OCPP. Two more are in access: AuthorizationKey, SecurityProfile.

Source: security white paper for OCPP 1.6-J (edition 3), section 5.
"""

ROWS = """\
AdditionalRootCertificateCheck R bool false
CertificateSignedMaxChainSize R int 10000
CertificateStoreMaxLength R int 4
CpoName RW str -
"""
