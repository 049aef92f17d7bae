"""The laws, by what they are about. A law says what contradicts it in a case, in sentences."""
