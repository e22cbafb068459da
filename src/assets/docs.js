"use strict";
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  displayRequestDuration: true,
  // Nothing is asked of anybody else.
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
});
