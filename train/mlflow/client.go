package mlflow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// client speaks MLflow's REST API (mlflow.org/docs/latest/rest-api.html).
type client struct {
	base                      *url.URL
	token, username, password string
	http                      *http.Client
}

// How long one request may take, and how much of an answer is read.
const (
	requestTime  = 10 * time.Second
	artifactTime = 10 * time.Minute
	answerMost   = 16 << 20
)

func newClient(o Options) (*client, error) {
	base, err := CheckURI(o.URI)
	if err != nil {
		return nil, err
	}
	return &client{base: base, token: o.Token, username: o.Username, password: o.Password, http: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // credentials go nowhere else
	}}, nil
}

// CheckURI reads the address of a tracking server.
func CheckURI(uri string) (*url.URL, error) {
	base, err := url.Parse(uri)
	switch {
	case err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https":
		return nil, errors.New("a tracking server's address is http://HOST:PORT or https://HOST")
	case base.User != nil:
		return nil, errors.New("credentials do not stand in the address; they come from MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN")
	case base.RawQuery != "" || base.Fragment != "":
		return nil, errors.New("a tracking server's address has no ? and no #")
	}
	return base, nil
}

// apiError is an answer that is none of success.
type apiError struct {
	Status  int
	Code    string `json:"error_code"` // such as RESOURCE_DOES_NOT_EXIST
	Message string `json:"message"`
}

func (e *apiError) Error() string {
	text := fmt.Sprintf("status %d", e.Status)
	if e.Code != "" {
		text += " " + e.Code
	}
	if e.Message != "" {
		text += ": " + strings.Join(strings.Fields(e.Message), " ")
	}
	return text
}

// is says whether an error is the server's answer of a code.
func is(err error, code string) bool {
	var e *apiError
	return errors.As(err, &e) && e.Code == code
}

// call asks for /api/2.0/mlflow/NAME, with in as query or as body, and reads the answer.
func (c *client) call(ctx context.Context, method, name string, in, out any) error {
	at := c.base.JoinPath("api/2.0/mlflow", name)
	var body []byte
	if query, ok := in.(url.Values); ok {
		at.RawQuery = query.Encode()
	} else {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("mlflow: %s: %w", name, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	answer, err := c.do(ctx, method, at, bytes.NewReader(body), int64(len(body)), "application/json")
	if err != nil {
		return fmt.Errorf("mlflow: %s: %w", name, err)
	}
	if out != nil {
		if err := json.Unmarshal(answer, out); err != nil {
			return fmt.Errorf("mlflow: %s: the answer is not MLflow's: %w", name, err)
		}
	}
	return nil
}

func (c *client) do(ctx context.Context, method string, at *url.URL, body io.Reader, length int64, kind string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, at.String(), body)
	if err != nil {
		return nil, err
	}
	req.ContentLength = length
	req.Header.Set("Content-Type", kind)
	switch {
	case c.token != "":
		req.Header.Set("Authorization", "Bearer "+c.token)
	case c.username != "":
		req.SetBasicAuth(c.username, c.password)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if failed := (*url.Error)(nil); errors.As(err, &failed) {
			err = failed.Err // which does not repeat the address
		}
		return nil, fmt.Errorf("%s: %w", c.base.Host, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, answerMost))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		e := &apiError{}
		_ = json.Unmarshal(answer, e) // a proxy's page has neither code nor message
		e.Status = resp.StatusCode
		return nil, e
	}
	return answer, nil
}

// upload puts a file below the artifacts of a run that the server keeps.
func (c *client) upload(ctx context.Context, to string, body io.Reader, length int64) error {
	ctx, cancel := context.WithTimeout(ctx, artifactTime)
	defer cancel()
	_, err := c.do(ctx, http.MethodPut, c.base.JoinPath("api/2.0/mlflow-artifacts/artifacts", to), body, length, "application/octet-stream")
	if err != nil {
		return fmt.Errorf("mlflow: artifact %s: %w", to, err)
	}
	return nil
}

// What the API's objects hold that is read or written here.
type (
	pair struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	}
	metric struct {
		Key       string  `json:"key"`
		Value     float64 `json:"value"`
		Timestamp int64   `json:"timestamp"` // milliseconds
		Step      int64   `json:"step"`
	}
	run struct {
		Info struct {
			ID        string `json:"run_id"`
			Status    string `json:"status"`
			Artifacts string `json:"artifact_uri"`
			Stage     string `json:"lifecycle_stage"`
		} `json:"info"`
		Data struct {
			Metrics []metric `json:"metrics"` // of each key the one of the last step
			Params  []pair   `json:"params"`
		} `json:"data"`
	}
)

// number reads steps and times as servers write them: as numbers, or as strings.
type number int64

func (n *number) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(bytes.Trim(b, `"`), (*int64)(n))
}

// UnmarshalJSON reads a metric whose value may be no number, or too large for one.
func (m *metric) UnmarshalJSON(b []byte) error {
	var in struct {
		Key  string `json:"key"`
		Step number `json:"step"`
	}
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	m.Key, m.Step = in.Key, int64(in.Step)
	return nil
}
