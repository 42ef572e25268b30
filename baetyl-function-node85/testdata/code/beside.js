exports.name = 'code';
