"""LocalAuthListManagement profile. Source: OCPP 1.6 edition 2, sections 6 and 7."""

TABLE = """
GetLocalListVersion.req -
SendLocalList.req listVersion!:int updateType!:UpdateType localAuthorizationList:AuthorizationData[]
AuthorizationData idTag!:s20 idTagInfo:core.IdTagInfo
UpdateType = Differential Full
"""
