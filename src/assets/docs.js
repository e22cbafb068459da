"use strict";

function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Swagger UI fills its fields with the document's examples.  Of headers that would be wrong: a key means one sale,
// and this page's must be nobody else's.
function prepare(answer) {
  if (!answer.url.endsWith("/openapi.json")) return answer;
  const api = JSON.parse(answer.text);
  for (const parameter of Object.values(api.components?.parameters ?? {})) {
    if (parameter.in !== "header") continue;
    delete parameter.example;
    delete parameter.examples;
    if (parameter.name === "Idempotency-Key") parameter.example = newKey();
  }
  answer.text = JSON.stringify(api);
  return answer;
}

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  displayRequestDuration: true,
  // Nothing is asked of anybody else.
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
  responseInterceptor: prepare,
});
