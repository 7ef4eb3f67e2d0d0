"""Configuration keys for charge points that have what they are about: pass them as `config_rows`. See config_keys."""

LIGHT_ROWS = """\
BlinkRepeat RW int 3 0..1000
LightIntensity RW int 100 0..100
"""
# With certificates of its own. The keys of access are there.
SECURITY_ROWS = """\
AdditionalRootCertificateCheck R bool false
CertificateSignedMaxChainSize R int 10000
CertificateStoreMaxLength R int 4
CpoName RW str -
"""
