from addon.credentials.login import StaticLogin


def make_login(settings):
    return StaticLogin(settings.oauth_token or "none")
