// People's words for what the records say in a machine's.

const SOURCES = {
  claude_code: "subscription",
  extra_usage: "extra usage",
  api_key: "API key",
  error: "not served",
  openai: "other provider",
  local: "proxy itself",
  refused: "refused",
  summary: "summary, API key",
  claude_code_summary: "summary, subscription",
};

const REMEDIES = {
  rate_limit_error: "The limit of this credential is reached. Wait for its reset, or set an API key as fallback.",
  overloaded_error: "Anthropic is overloaded. It passes; send the request again.",
  api_error: "Anthropic had an internal error. Send the request again.",
  authentication_error: "The login or key is not accepted. Run ./start.sh doctor.",
  permission_error: "Anthropic does not allow this for the account. The API key may.",
  invalid_request_error: "Anthropic does not accept the request. Open it to see what was sent.",
  not_found_error: "No such model or endpoint. GET /v1/models lists the models.",
  request_too_large: "The request has more than 32 MB.",
  context_length_exceeded: "The conversation is too long. Start a new one, or let it be summarized.",
  budget_exceeded: "The budget for paid calls is spent. Raise it below, or wait.",
  budget_unknown: "What was spent is unknown. Check the budget below and save it.",
  client_closed: "The client closed the connection before the end.",
  upstream_idle: "Anthropic stopped sending. Send the request again.",
  upstream_unreachable: "Anthropic can't be reached. Is this machine online?",
  upstream_disconnect: "The connection to Anthropic broke. Send the request again.",
  shutdown: "The proxy was stopped meanwhile.",
};

export const sourceName = (source) => SOURCES[source] ?? source;
export const remedy = (error) => REMEDIES[error] ?? "docs/TROUBLESHOOTING.md lists errors.";
export const who = (request) => [request.client, request.name && `@${request.name}`].filter(Boolean).join(" ");
export const promptTokens = (used) => used.inputTokens + used.cacheReadTokens + used.cacheWrite5mTokens + used.cacheWrite1hTokens;
