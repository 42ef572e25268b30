"""The function example-function: degrees Fahrenheit in, degrees Celsius out."""


def handler(event, context):
    return {'device': event['device'], 'celsius': round((event['fahrenheit'] - 32) / 1.8, 1)}
