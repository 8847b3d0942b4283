package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	gcs "cloud.google.com/go/storage"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	azure "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"
	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"
	"gocloud.dev/blob/gcsblob"
	"gocloud.dev/blob/s3blob"
	"gocloud.dev/gcerrors"
	"gocloud.dev/gcp"
)

// tries is how often S3's own client asks before what failed is ours to ask again.
const tries = 4

// bucket is a bucket or container of an object store.
type bucket struct {
	b       *blob.Bucket
	scheme  string
	name    string
	traffic *Traffic
	s3      *s3Writer // nil: the store is another
}

func newBucket(ctx context.Context, at location, t *Traffic) (*bucket, error) {
	query, _ := url.ParseQuery(at.query) // of which the stores' openers take what can be parsed, too
	u := &url.URL{Scheme: at.scheme, Host: at.bucket, RawQuery: query.Encode()}
	b := &bucket{scheme: at.scheme, name: at.bucket, traffic: t}
	var err error
	switch at.scheme {
	case "s3":
		b.b, b.s3, err = openS3(ctx, u, t)
	case "gs":
		b.b, err = openGS(ctx, u)
	case "az":
		u.Scheme = azureblob.Scheme
		b.b, err = blob.OpenBucket(ctx, u.String())
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrURL, veiled{err})
	}
	return b, nil
}

// openS3 opens a bucket as gocloud.dev does, with a client that counts what it asks.
func openS3(ctx context.Context, u *url.URL, t *Traffic) (*blob.Bucket, *s3Writer, error) {
	opener := &s3blob.URLOpener{}
	first, err := opener.OpenBucketURL(ctx, u)
	if err != nil {
		return nil, nil, err
	}
	defer first.Close()
	var client *s3.Client
	if !first.As(&client) {
		return nil, nil, errors.New("no client of S3's")
	}
	if client.Options().Region == "" {
		return nil, nil, errors.New("no region is given: by AWS_REGION, ?region= or a profile")
	}
	client = s3.New(client.Options(), func(o *s3.Options) {
		if own, ok := o.HTTPClient.(*awshttp.BuildableClient); ok {
			o.HTTPClient = own.WithTransportOptions(func(t *http.Transport) { t.MaxIdleConnsPerHost = 64 })
		}
		o.HTTPClient = counting{o.HTTPClient, t}
		o.Logger = logging.Nop{} // it writes to stderr
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.RateLimiter = tries, ratelimit.None
			o.Backoff = retry.BackoffDelayerFunc(func(n int, _ error) (time.Duration, error) {
				return time.Duration((0.5 + rand.Float64()) * float64(100*time.Millisecond<<min(n, 6))), nil
			})
		})
		// What is stored is held to sums of its own; the answers' many forms of sums are
		// not had from every server, and a range has none.
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		o.DisableLogOutputChecksumValidationSkipped = true
	})
	b, err := s3blob.OpenBucket(ctx, client, u.Host, &opener.Options)
	return b, &s3Writer{client, u.Host, opener.Options}, err
}

// counting counts the requests that a client makes, and makes none that nobody asks for any more.
type counting struct {
	s3.HTTPClient
	t *Traffic
}

func (c counting) Do(r *http.Request) (*http.Response, error) {
	if err := unasked(r.Context()); err != nil {
		return nil, err
	}
	c.t.Requests.Add(1)
	if n := r.Header.Get("Amz-Sdk-Request"); n != "" && !strings.HasPrefix(n+";", "attempt=1;") {
		c.t.Retries.Add(1)
	}
	return c.HTTPClient.Do(r)
}

// openGS opens a bucket of Google's. The library's own way prints.
func openGS(ctx context.Context, u *url.URL) (*blob.Bucket, error) {
	opener := &gcsblob.URLOpener{}
	if q := u.Query(); q.Get("anonymous") == "" && q.Get("access_id") != "-" {
		who, err := gcp.DefaultCredentials(ctx)
		if err != nil {
			return nil, err
		}
		if opener.Client, err = gcp.NewHTTPClient(gcp.DefaultTransport(), gcp.CredentialsTokenSource(who)); err != nil {
			return nil, err
		}
		opener.TokenSource = gcp.CredentialsTokenSource(who)
	}
	return opener.OpenBucketURL(ctx, u)
}

// count counts a request where no client does.
func (b *bucket) count() {
	if b.scheme != "s3" {
		b.traffic.Requests.Add(1)
	}
}

func (b *bucket) stat(ctx context.Context, key string) (Info, error) {
	if b.s3 != nil {
		a, err := b.s3.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.name, Key: &key})
		if err != nil {
			return Info{}, b.mean(err)
		}
		return Info{Size: aws.ToInt64(a.ContentLength), Modified: aws.ToTime(a.LastModified), ID: aws.ToString(a.ETag)}, nil
	}
	b.count()
	a, err := b.b.Attributes(ctx, key)
	if err != nil {
		return Info{}, b.mean(err)
	}
	info := Info{Size: a.Size, Modified: a.ModTime, ID: a.ETag}
	var g gcs.ObjectAttrs
	if a.As(&g) {
		info.ID = fmt.Sprint(g.Generation)
	}
	return info, nil
}

func (b *bucket) first(ctx context.Context, key string, n int64) (Info, io.ReadCloser, error) {
	b.count()
	r, err := b.b.NewRangeReader(ctx, key, 0, n, &blob.ReaderOptions{BeforeRead: func(as func(any) bool) error { return byKey(as, key) }})
	if err != nil {
		if b.status(err) == http.StatusRequestedRangeNotSatisfiable { // it has no bytes
			return Info{}, nil, errors.ErrUnsupported
		}
		return Info{}, nil, b.mean(err)
	}
	info := Info{Size: r.Size(), Modified: r.ModTime()}
	var s s3.GetObjectOutput
	var g *gcs.Reader
	var a azure.DownloadStreamResponse
	switch {
	case r.As(&s):
		info.ID = aws.ToString(s.ETag)
	case r.As(&g):
		info.ID = fmt.Sprint(g.Attrs.Generation)
	case r.As(&a) && a.ETag != nil:
		info.ID = string(*a.ETag)
	}
	if info.ID == "" || info.Size < 0 {
		r.Close()
		return Info{}, nil, errors.ErrUnsupported
	}
	return info, r, nil
}

func (b *bucket) read(ctx context.Context, key, id string, at, n int64) (io.ReadCloser, error) {
	b.count()
	// Google keeps no state but the last one, and says of another that it is not there.
	r, err := b.b.NewRangeReader(ctx, key, at, n, &blob.ReaderOptions{BeforeRead: func(as func(any) bool) error {
		return cmp.Or(byKey(as, key), inState(as, id, (*gcs.ObjectHandle).Generation))
	}})
	if b.scheme == "gs" && err != nil && gcerrors.Code(err) == gcerrors.NotFound {
		return nil, ErrChanged
	}
	if err != nil {
		return nil, b.mean(err)
	}
	return r, nil
}

// inState makes a request one of a state of an object and no other: generation says it of a
// handle of Google's.
func inState(as func(any) bool, id string, generation func(*gcs.ObjectHandle, int64) *gcs.ObjectHandle) error {
	var get *s3.GetObjectInput
	var object **gcs.ObjectHandle
	var download *azure.DownloadStreamOptions
	var upload *azblob.UploadStreamOptions
	switch {
	case as(&get):
		get.IfMatch = aws.String(id)
	case as(&object):
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			return fmt.Errorf("generation: %w", err)
		}
		*object = generation(*object, n)
	case as(&download):
		download.AccessConditions = matching(id)
	case as(&upload):
		upload.AccessConditions = matching(id)
	default:
		return errors.New("the store's client takes no condition")
	}
	return nil
}

// overwritten is a handle that writes in the place of a generation.
func overwritten(o *gcs.ObjectHandle, generation int64) *gcs.ObjectHandle {
	return o.If(gcs.Conditions{GenerationMatch: generation})
}

// matching is Azure's condition that an object is in a state.
func matching(id string) *azure.AccessConditions {
	tag := azcore.ETag(id)
	return &azure.AccessConditions{ModifiedAccessConditions: &azure.ModifiedAccessConditions{IfMatch: &tag}}
}

func (b *bucket) list(ctx context.Context, prefix string, flat bool, f func(Info) error) error {
	b.count()
	o := &blob.ListOptions{Prefix: prefix, BeforeList: func(as func(any) bool) error { return below(as, prefix) }}
	if flat {
		o.Delimiter = "/"
	}
	it := b.b.List(o)
	for {
		o, err := it.Next(ctx)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return b.mean(err)
		}
		if o.IsDir {
			if err := f(Info{Name: listedKey(o)}); err != nil {
				return err
			}
			continue
		}
		if err := f(Info{Name: listedKey(o), Size: o.Size, Modified: o.ModTime, ID: listedID(o)}); err != nil {
			return err
		}
	}
}

// listedID is the state of an object as its list has it, in the form that bucket.stat gives.
func listedID(o *blob.ListObject) string {
	var s types.Object
	var g gcs.ObjectAttrs
	var a container.BlobItem
	switch {
	case o.As(&s):
		return aws.ToString(s.ETag)
	case o.As(&g):
		return fmt.Sprint(g.Generation)
	case o.As(&a) && a.Properties != nil && a.Properties.ETag != nil:
		if tag := string(*a.Properties.ETag); strings.HasPrefix(tag, `"`) {
			return tag
		}
		return `"` + string(*a.Properties.ETag) + `"` // Azure's lists have it without quotes
	}
	return ""
}

func (b *bucket) write(ctx context.Context, key string, r io.ReaderAt, size int64, want wanted) error {
	if b.s3 != nil {
		return b.refused(b.s3.write(ctx, key, r, size, want), want)
	}
	b.count()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	o := &blob.WriterOptions{ContentType: contentType, BufferSize: partSize, MaxConcurrency: partsOnce, IfNotExist: want.fresh}
	if want.id != "" {
		o.BeforeWrite = func(as func(any) bool) error { return inState(as, want.id, overwritten) }
	}
	w, err := b.b.NewWriter(ctx, key, o)
	if err != nil {
		return b.mean(err)
	}
	if n, err := io.Copy(w, io.NewSectionReader(r, 0, size)); err != nil || n != size {
		stop() // or closing would make the object of what there is of it
		cerr := w.Close()
		if errors.Is(err, io.ErrClosedPipe) {
			err = cmp.Or(cerr, err)
		}
		if err == nil {
			err = fmt.Errorf("%d bytes where there were %d", n, size)
		}
		return b.mean(err)
	}
	return b.refused(w.Close(), want)
}

// refused is the error of a write as store has it.
func (b *bucket) refused(err error, want wanted) error {
	if err = b.mean(err); want.fresh && errors.Is(err, ErrChanged) {
		return ErrExists
	}
	return err
}

func (b *bucket) copy(ctx context.Context, key, from string) error {
	b.count()
	o := &blob.CopyOptions{BeforeCopy: func(as func(any) bool) error { return copied(as, key, b.name+"/"+from) }}
	return b.mean(b.b.Copy(ctx, key, from, o))
}

func (b *bucket) remove(ctx context.Context, key string) error {
	if b.s3 != nil { // gocloud.dev asks first whether it is there
		_, err := b.s3.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(b.name), Key: aws.String(key)})
		return b.mean(err)
	}
	b.count()
	return b.mean(b.b.Delete(ctx, key))
}

func (b *bucket) removeMany(ctx context.Context, keys []string) error {
	if b.s3 == nil || slices.ContainsFunc(keys, func(key string) bool { return !legible(key) }) {
		return errors.ErrUnsupported
	}
	all := &types.Delete{Quiet: aws.Bool(true)}
	for _, key := range keys {
		all.Objects = append(all.Objects, types.ObjectIdentifier{Key: aws.String(key)})
	}
	out, err := b.s3.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: aws.String(b.name), Delete: all})
	if err = b.mean(err); Passing(err) || errors.Is(err, context.Canceled) || errors.Is(err, fs.ErrPermission) || errors.Is(err, ErrNoBucket) {
		return err // which is of all requests, or of the whole bucket
	}
	if err != nil || len(out.Errors) > 0 { // of one of them, or a server that has no such request
		return errors.ErrUnsupported
	}
	return nil
}

// abort lists the uploads in parts that have no end, which S3 alone keeps.
func (b *bucket) abort(ctx context.Context, prefix string) error {
	if b.s3 == nil {
		return nil
	}
	client := b.s3.client
	pages := s3.NewListMultipartUploadsPaginator(client, &s3.ListMultipartUploadsInput{Bucket: aws.String(b.name), Prefix: aws.String(prefix)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return b.mean(err)
		}
		for _, u := range page.Uploads {
			if !strings.HasPrefix(aws.ToString(u.Key), prefix) {
				continue // a server that does not keep to what it was asked
			}
			_, err := client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: aws.String(b.name), Key: u.Key, UploadId: u.UploadId})
			if err = b.mean(err); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

func (b *bucket) close() error { return b.b.Close() }
