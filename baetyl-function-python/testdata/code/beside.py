NAME = 'code'
