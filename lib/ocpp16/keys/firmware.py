"""FirmwareManagement keys. Source: OCPP 1.6 edition 2, chapter 9, errata."""

ROWS = "SupportedFileTransferProtocols R csl HTTP,HTTPS FTP|FTPS|HTTP|HTTPS"
